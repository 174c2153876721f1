#!/bin/sh
# Draws pictures with ImageMagick.
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

convert -size 416x224 'xc:#e8dcc3' -fill '#2b2115' -font FreeMono-Bold -pointsize 22 \
    -gravity northwest -annotate +22+22 'PARCEL SERVICE' \
    -font FreeMono -pointsize 20 -annotate +22+66 'To: Rosa Winther' -annotate +22+94 '41 Canal Street' \
    -annotate +22+122 'Lunna' -annotate +22+164 'Weight: 2.4 kg' -alpha off label-parcel.png

convert -size 352x192 'xc:#fdf6e6' -fill '#7a2f00' -font Dosis-Bold -pointsize 32 \
    -gravity north -annotate +0+14 'Sea Blue Gloss' \
    -fill '#222222' -font Dosis-Medium -pointsize 21 -gravity northwest -annotate +26+70 'Contents: 750 ml' \
    -annotate +26+98 'Lot: 88213' -annotate +26+126 'Covers: 9 square metres' -alpha off label-paint.png

convert -size 480x192 'xc:#25233a' -fill '#ffe9a8' -font Lato-Bold -pointsize 27 \
    -gravity northwest -annotate +24+18 'ORION CINEMA' \
    -fill '#ffffff' -font Lato-Regular -pointsize 20 -annotate +24+64 'The Long Winter' \
    -annotate +24+100 'Row: G' -annotate +150+100 'Seat: 12' -annotate +24+136 'Starts: 20:15' \
    -font Lato-Bold -pointsize 26 -gravity northeast -annotate +28+130 '£9.50' -alpha off ticket-cinema.png

convert -size 448x288 'xc:#f4f8f2' -fill '#1c2b1a' -font Linux-Libertine-O-Bold -pointsize 25 \
    -gravity northwest -annotate +22+16 'Bikes hired' -font Linux-Libertine-O -pointsize 21 \
    -annotate +22+70 'Monday' -annotate +22+118 'Tuesday' -annotate +22+166 'Friday' -annotate +22+214 'Sunday' \
    -fill '#3d7a34' -draw 'rectangle 116,66 296,96' -draw 'rectangle 116,114 226,144' \
    -draw 'rectangle 116,162 266,192' -draw 'rectangle 116,210 376,240' \
    -fill '#1c2b1a' -annotate +306+70 '54' -annotate +236+118 '33' -annotate +276+166 '45' \
    -annotate +386+214 '78' -alpha off chart-bikes.png
