#!/bin/sh
# Takes pictures of xterm and of a Tk window on a screen of their own (xvfb, xterm, tk, imagemagick,
# xfonts-base, git): what stands in the terminals is what the commands really print.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C

shoot() { # picture, screen width and height, the program and its arguments
    picture=$1 width=$2 height=$3
    shift 3
    Xvfb :71 -screen 0 "${width}x${height}x24" -nolisten tcp 2>"$work/x" &
    screen=$!
    sleep 1
    DISPLAY=:71 "$@" &
    program=$!
    sleep 2
    DISPLAY=:71 import -window root -strip "$picture"
    kill $program $screen
    wait
}

terminal() { # picture, width, height, font as options, paper, ink, what is typed
    printf 'cd "%s"\n%s\nsleep 60\n' "$work/files" "$7" > "$work/typed"
    shoot "$1" "$2" "$3" xterm -b 8 -bw 0 -geometry 200x60+0+0 $4 -bg "$5" -fg "$6" \
        -e sh "$work/typed"
}

mkdir "$work/files"
cd "$work/files"
seq 412 > harbour.txt
seq 86 > lantern.txt
seq 1370 > orchard.txt
seq 233 > recipes.txt
git init -q .
export GIT_AUTHOR_DATE='2027-01-05T09:00:00Z' GIT_COMMITTER_DATE='2027-01-05T09:00:00Z'
for message in 'Plant the pear trees' 'Mend the north fence' 'Paint the shed' 'Order new tools'; do
    git -c user.name=Ada -c user.email=ada@example.org commit -q --allow-empty -m "$message"
done
cd "$OLDPWD"

terminal terminal-words.png 384 160 '-fn 10x20' '#101418' '#d8e0d8' \
    'echo "$ wc -w *.txt"; wc -w *.txt'
terminal terminal-log.png 480 160 '-fa FreeMono:bold -fs 13' '#ffffff' '#20242a' \
    'echo "ada@garden:~$ git log --oneline"; git --no-pager log --oneline --no-color --no-decorate'
terminal terminal-files.png 352 160 '-fa Terminus -fs 15' '#2e1a34' '#f3e7c4' \
    'echo "$ ls -1"; ls -1'
shoot dialog-print.png 384 288 wish dialog-print.tcl
