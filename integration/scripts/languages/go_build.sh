export GOCACHE=/tmp/cache GOFLAGS=-mod=mod GOPROXY=off GOTELEMETRY=off
mkdir -p /tmp/hello && cd /tmp/hello
printf 'module example.com/hello\ngo 1.19\n' >go.mod
cat >main.go <<'END'
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
)

func main() {
	var group sync.WaitGroup
	var mutex sync.Mutex
	n := 0
	for i := 0; i < 1000; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for k := 0; k < 100; k++ {
				mutex.Lock()
				n++
				mutex.Unlock()
				runtime.Gosched()
			}
		}()
	}
	group.Wait()
	fmt.Println(n)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println(<-signals)
	out, err := exec.Command("sh", "-c", "echo hi; exit 4").CombinedOutput()
	fmt.Printf("%q %v\n", out, err)
	ticker := time.NewTicker(time.Millisecond)
	for i := 0; i < 20; i++ {
		<-ticker.C
	}
	defer func() {
		fmt.Println("recovered", recover() != nil)
		os.Exit(5)
	}()
	var nothing *int
	*nothing = 1
}
END
printf 'package main\nimport "testing"\nfunc TestNothing(t *testing.T) {}\n' >main_test.go
go vet . && go build -o hello . || exit
./hello
echo "status $?"
go test . | cut -f 1,2
go run . 2>/dev/null
echo "status $?"
