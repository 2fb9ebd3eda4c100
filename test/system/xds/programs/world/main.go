// Peers of the tests of dynamic configuration: a management server on go-control-plane's caches whose contents a
// driver sets over HTTP, hosts that answer with their port, and clients that send at a fixed rate.
//
//	world manage -xds 127.0.0.1:18000 -control 127.0.0.1:18001
//	world serve -ports 20000,20001
//	world load -control 127.0.0.1:18002
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	commands := map[string]func([]string) error{"manage": manage, "serve": serve, "load": load}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: world manage|serve|load [options]")
		os.Exit(2)
	}
	// Whoever started it holds the other end: nothing outlives a test that was killed.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
