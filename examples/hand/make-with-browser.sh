#!/bin/sh
# Takes a picture of every page here with headless Chromium, at one device pixel per CSS pixel.
# The window is higher than the picture, as Chromium keeps some of its height; ImageMagick crops.
set -eu
cd "$(dirname "$0")"
profile=$(mktemp -d)
trap 'rm -r "$profile"' EXIT

shoot() { # page without its ending, width, height
    chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync \
        --hide-scrollbars --force-device-scale-factor=1 --user-data-dir="$profile" \
        --screenshot="$PWD/$1.png" --window-size="$2,$(($3 + 120))" "file://$PWD/$1.html"
    convert "$1.png" -crop "$2x$3+0+0" +repage -strip "$1.png"
}

shoot receipt-till 288 224
shoot receipt-bistro 288 256
shoot receipt-hardware 256 256
shoot label-shelf 192 128
shoot line-notice 288 32
shoot invoice-page 1280 800
shoot invoice-garage 448 320
shoot form-library 448 288
shoot ticket-ferry 640 224
shoot table-trains 480 320
shoot chart-visitors 480 352
shoot dialog-sound 384 288
(cd .. && shoot receipt 288 416)
