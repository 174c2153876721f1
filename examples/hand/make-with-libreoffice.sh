#!/bin/sh
# Prints every text and table of LibreOffice here, at 96 pixels an inch (poppler's pdftoppm).
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

for source in *.fodt *.fods; do
    name=${source%.*}
    soffice -env:UserInstallation="file://$work/profile" --headless --convert-to pdf --outdir "$work" "$source"
    pdftoppm -r 96 -png -singlefile "$work/$name.pdf" "$name"
done
