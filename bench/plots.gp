# SPDX-License-Identifier: MIT
#
# One plot of cost against population, both axes logarithmic. bench/report.py sets: base (path
# without suffix: BASE-KEY.dat in, BASE.svg out), title_text, x_text, y_text, keys, names.
# Columns of a .dat: population, median over rounds, least, most. A population of 0 is at 0.5.
set encoding utf8
set terminal svg size 640,420 font "sans,12" background "white"
set output base.".svg"
set title title_text
set xlabel x_text
set ylabel y_text
set logscale xy
set grid
set xrange [0.4:*]
set key top left
set xtics add ("0" 0.5)
plot for [i = 1:words(keys)] base."-".word(keys, i).".dat" using 1:2:3:4 \
	with yerrorlines lw 2 pt 7 ps .6 title system("echo '".word(names, i)."' | tr _ ' '")
