# A settings window of Tk's own widgets: wish dialog-print.tcl, on a screen of 384x288 pixels.
package require Tk
wm overrideredirect . 1
wm geometry . 384x288+0+0
ttk::style theme use clam
option add *font {FreeSans -18}
ttk::style configure . -font {FreeSans -18}
. configure -background #dcdad5
ttk::label .title -text "Print settings" -font {FreeSans -22 bold}
place .title -x 20 -y 14
set rows {Printer "Study" Copies "3" Paper "A4"}
set y 56
foreach {name value} $rows {
    ttk::label .l$y -text $name
    ttk::entry .e$y -width 20
    .e$y insert 0 $value
    place .l$y -x 20 -y [expr {$y + 4}]
    place .e$y -x 130 -y $y -width 230
    incr y 38
}
set double 1
set colour 0
ttk::checkbutton .double -text "Both sides" -variable double
ttk::checkbutton .colour -text "Colour" -variable colour
place .double -x 20 -y 176
place .colour -x 200 -y 176
ttk::button .cancel -text "Cancel"
ttk::button .print -text "Print"
place .cancel -x 160 -y 232 -width 96
place .print -x 266 -y 232 -width 96
