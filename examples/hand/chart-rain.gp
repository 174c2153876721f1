# gnuplot chart-rain.gp
set terminal pngcairo size 512,352 font "FreeSans,13" background "#ffffff"
set output "chart-rain.png"
set title "Rain in mm" font "FreeSans,17"
set style fill solid 0.7 border -1
set boxwidth 0.6
set yrange [0:120]
unset key
set border 3
set tics nomirror out
set linetype 1 lc rgb "#b5651d"
$rain << EOD
Autumn 97
Winter 64
Spring 41
Summer 28
EOD
plot $rain using 0:2:xtic(1) with boxes, "" using 0:($2 + 6):2 with labels
