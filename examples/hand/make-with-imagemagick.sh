#!/bin/sh
# Draws the remaining pictures with ImageMagick.
set -eu
cd "$(dirname "$0")"

convert -size 224x224 'xc:#fdfdfa' -fill '#222222' -font DejaVu-Sans-Mono -pointsize 16 \
    -gravity north -annotate +0+12 'RIVERBEND BOOKS' -annotate +0+36 '09.11.2025' \
    -gravity northwest -annotate +12+72 'Atlas' -annotate +12+96 'Postcards' \
    -annotate +12+120 'Gift wrap' -annotate +12+162 'TOTAL' \
    -gravity northeast -annotate +12+72 '24.00' -annotate +12+96 '4.50' \
    -annotate +12+120 '2.00' -annotate +12+162 '30.50' \
    -draw 'line 12,148 212,148' receipt-books.png

convert -size 224x96 'xc:#ffffff' -fill '#8a0d0d' -font Liberation-Sans-Bold -pointsize 36 \
    -gravity north -annotate +0+8 '£2.35' \
    -fill '#111111' -font Liberation-Sans -pointsize 20 -annotate +0+58 'Brown bread' -alpha off label-bread.png

convert -size 320x32 'xc:#e9efe6' -fill '#10240f' -font DejaVu-Serif -pointsize 19 \
    -gravity west -annotate +10+0 'Invoice KX-2048 paid' line-invoice.png
