package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// serve answers each request with the port that it came to.
func serve(args []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	address := flags.String("address", "127.0.0.1", "where to listen")
	ports := flags.String("ports", "", "comma-separated")
	if err := flags.Parse(args); err != nil {
		return err
	}
	failed := make(chan error)
	for _, port := range strings.Split(*ports, ",") {
		listen, err := net.Listen("tcp", net.JoinHostPort(*address, port))
		if err != nil {
			return err
		}
		handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("x-port", port)
			fmt.Fprint(w, port)
		})
		go func() { failed <- http.Serve(listen, handler) }()
	}
	fmt.Println("ready")
	return <-failed
}
