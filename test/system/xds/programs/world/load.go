package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// target is one kind of request: a listener's address and a path behind it.
type target struct {
	Address string `json:"address"`
	Host    string `json:"host"`
	Path    string `json:"path"`
}

type plan struct {
	Targets     []target `json:"targets"`
	Rate        float64  `json:"rate"`
	Connections int      `json:"connections"`
	Seconds     float64  `json:"seconds"`
}

// result has latencies in milliseconds, counted from the moment at which each request was due.
type result struct {
	Sent     int            `json:"sent"`
	Failed   int            `json:"failed"`
	P50      float64        `json:"p50"`
	P99      float64        `json:"p99"`
	P999     float64        `json:"p999"`
	Max      float64        `json:"max"`
	Redials  int64          `json:"redials"`
	Statuses map[string]int `json:"statuses"`
	Problems []string       `json:"problems"`
}

// load runs one plan after another: each POST /run answers with its result.
func load(args []string) error {
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	control := flags.String("control", "127.0.0.1:18002", "address of the driver's API")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return http.ListenAndServe(*control, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var p plan
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(p.run())
	}))
}

type sample struct {
	took    time.Duration
	problem string
	status  int
}

func (p *plan) run() result {
	var next, redials atomic.Int64
	start := time.Now().Add(20 * time.Millisecond)
	total := int64(p.Rate * p.Seconds)
	step := time.Duration(float64(time.Second) / p.Rate)
	all := make([][]sample, p.Connections)
	var done sync.WaitGroup
	for i := range p.Connections {
		done.Add(1)
		go func() {
			defer done.Done()
			// One connection per listener; it goes through all targets.
			c := client{redials: &redials}
			defer c.close()
			for {
				n := next.Add(1) - 1
				if n >= total {
					return
				}
				due := start.Add(time.Duration(n) * step)
				time.Sleep(time.Until(due))
				status, err := c.get(p.Targets[(i+int(n)/p.Connections)%len(p.Targets)])
				one := sample{took: time.Since(due), status: status}
				if err != nil {
					one.problem = fmt.Sprintf("after %.3f s: %v", time.Since(start).Seconds(), err)
				} else if status != 200 {
					one.problem = fmt.Sprintf("after %.3f s: status %d %s", time.Since(start).Seconds(), status, c.last)
				}
				all[i] = append(all[i], one)
			}
		}()
	}
	done.Wait()
	return summarize(all, redials.Load())
}

func summarize(all [][]sample, redials int64) result {
	r := result{Redials: redials, Statuses: map[string]int{}, Problems: []string{}}
	var took []float64
	for _, samples := range all {
		for _, s := range samples {
			r.Sent++
			took = append(took, float64(s.took.Microseconds())/1000)
			r.Statuses[fmt.Sprint(s.status)]++
			if s.problem != "" {
				r.Failed++
				if len(r.Problems) < 20 {
					r.Problems = append(r.Problems, s.problem)
				}
			}
		}
	}
	sort.Float64s(took)
	if at := len(took); at > 0 {
		r.P50, r.P99, r.P999, r.Max = took[at/2], took[at*99/100], took[at*999/1000], took[at-1]
	}
	return r
}

// client is one connection per address. A connection may only end where its last answer said so: nothing is tried
// twice, so that no failure hides.
type client struct {
	conns   map[string]*clientConn
	redials *atomic.Int64
	last    string
}

type clientConn struct {
	net.Conn
	reader *bufio.Reader
}

func (c *client) get(t target) (int, error) {
	conn := c.conns[t.Address]
	if conn == nil {
		dialed, err := net.DialTimeout("tcp", t.Address, 5*time.Second)
		if err != nil {
			return 0, err
		}
		c.redials.Add(1)
		conn = &clientConn{dialed, bufio.NewReader(dialed)}
		if c.conns == nil {
			c.conns = map[string]*clientConn{}
		}
		c.conns[t.Address] = conn
	}
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, "GET "+t.Path+" HTTP/1.1\r\nhost: "+t.Host+"\r\n\r\n"); err != nil {
		c.drop(t.Address)
		return 0, fmt.Errorf("writing: %w", err)
	}
	response, err := http.ReadResponse(conn.reader, nil)
	if err != nil {
		c.drop(t.Address)
		return 0, fmt.Errorf("reading: %w", err)
	}
	body, err := io.ReadAll(response.Body)
	c.last = strings.TrimSpace(string(body))
	if err != nil || response.Close {
		c.drop(t.Address)
	}
	return response.StatusCode, err
}

func (c *client) drop(address string) {
	_ = c.conns[address].Close()
	delete(c.conns, address)
}

func (c *client) close() {
	for address := range c.conns {
		c.drop(address)
	}
}
