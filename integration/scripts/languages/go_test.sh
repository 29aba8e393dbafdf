# go_test.sh PACKAGE: the tests of a package of Go's own library, a line for each.
export GOCACHE=/tmp/cache GOFLAGS=-mod=mod GOPROXY=off
cd /usr/lib/go-1.19/src || exit
# Debian's Go has no time zones of its own, which the tests of `time` want.
go test -vet=off -count=1 -v -tags=timetzdata "$1" 2>&1 | tee /tmp/log | sed -nE '
    s/^ *--- PASS: (.*) \([0-9.]+s\)$/ok \1/p
    s/^ *--- SKIP: (.*) \([0-9.]+s\)$/skip \1/p
    s/^ *--- FAIL: (.*) \([0-9.]+s\)$/FAIL \1/p'
grep -q '^ok' /tmp/log || cat /tmp/log >&2
