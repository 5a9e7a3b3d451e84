# What the programs beside this file share, which stand for those that run a registry in tests of the nightly script. They write
# their calls to $STAND_INS/calls. The registry runs if $STAND_INS/running exists; `cannot-stop` and `cannot-start` make them fail.

echo "${0##*/} $*" >>"$STAND_INS/calls"

is_running() {
    [ -e "$STAND_INS/running" ]
}

stop() {
    can stop && rm -f "$STAND_INS/running"
}

start() {
    can start && touch "$STAND_INS/running"
}

can() {
    [ ! -e "$STAND_INS/cannot-$1" ] || { echo "this registry does not $1" >&2 && return 1; }
}
