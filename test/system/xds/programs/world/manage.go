package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	runtime "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resource "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/sotw/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
)

var typeURLs = []string{
	resource.ClusterType, resource.EndpointType, resource.ListenerType, resource.RouteType,
	resource.ScopedRouteType, resource.VirtualHostType, resource.SecretType, resource.RuntimeType,
	resource.ExtensionConfigType,
}

// world is what the control plane wants, and what clients said about it.
type world struct {
	open     func() error
	mu       sync.Mutex
	caches   map[string]*cache.LinearCache
	saved    map[string]map[string]map[string]types.Resource
	acks     map[string]int
	accepted map[string]string
	nacks    []nack
	streams  int
	opened   int
	conns    map[net.Conn]struct{}
}

type nack struct {
	Type    string `json:"type"`
	Version string `json:"version"`
	Message string `json:"message"`
}

func manage(args []string) error {
	flags := flag.NewFlagSet("manage", flag.ExitOnError)
	xds := flags.String("xds", "127.0.0.1:18000", "address of the gRPC services")
	control := flags.String("control", "127.0.0.1:18001", "address of the driver's API")
	prefix := flags.String("prefix", "", "what versions begin with")
	if err := flags.Parse(args); err != nil {
		return err
	}
	w := &world{
		caches:   map[string]*cache.LinearCache{},
		saved:    map[string]map[string]map[string]types.Resource{},
		acks:     map[string]int{},
		accepted: map[string]string{},
		conns:    map[net.Conn]struct{}{},
	}
	mux := &cache.MuxCache{
		Classify:      func(r *cache.Request) string { return r.GetTypeUrl() },
		ClassifyDelta: func(r *cache.DeltaRequest) string { return r.GetTypeUrl() },
		Caches:        map[string]cache.Cache{},
	}
	for _, url := range typeURLs {
		w.caches[url] = cache.NewLinearCache(url, cache.WithVersionPrefix(*prefix))
		mux.Caches[url] = w.caches[url]
	}
	xdsServer := server.NewServer(context.Background(), mux, w.callbacks(), sotw.WithOrderedADS())
	patience := grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true})
	grpcServer := grpc.NewServer(grpc.MaxConcurrentStreams(1<<20), patience)
	discovery.RegisterAggregatedDiscoveryServiceServer(grpcServer, xdsServer)
	registerSingle(grpcServer, xdsServer)
	// Nobody is told that there is nothing: what there is at the beginning is set first.
	w.open = sync.OnceValue(func() error {
		listen, err := net.Listen("tcp", *xds)
		if err != nil {
			return err
		}
		go func() { panic(grpcServer.Serve(&tracked{listen, w})) }()
		return nil
	})
	return http.ListenAndServe(*control, w.api())
}

// callbacks keep book of what clients say.
func (w *world) callbacks() server.Callbacks {
	open := func(delta int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.streams += delta
		if delta > 0 {
			w.opened++
		}
	}
	return server.CallbackFuncs{
		StreamOpenFunc:        func(context.Context, int64, string) error { open(1); return nil },
		StreamClosedFunc:      func(int64, *core.Node) { open(-1) },
		DeltaStreamOpenFunc:   func(context.Context, int64, string) error { open(1); return nil },
		DeltaStreamClosedFunc: func(int64, *core.Node) { open(-1) },
		StreamRequestFunc: func(_ int64, r *discovery.DiscoveryRequest) error {
			w.said(r.GetTypeUrl(), r.GetVersionInfo(), r.GetResponseNonce(), r.GetErrorDetail().GetMessage())
			return nil
		},
		StreamDeltaRequestFunc: func(_ int64, r *discovery.DeltaDiscoveryRequest) error {
			w.said(r.GetTypeUrl(), "", r.GetResponseNonce(), r.GetErrorDetail().GetMessage())
			return nil
		},
	}
}

func (w *world) said(url, version, nonce, problem string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if problem != "" {
		if len(w.nacks) < 1000 {
			w.nacks = append(w.nacks, nack{url, version, problem})
		}
	} else if nonce != "" {
		w.acks[url]++
		w.accepted[url] = version
	}
}

type change struct {
	Set    []json.RawMessage   `json:"set"`
	Remove map[string][]string `json:"remove"`
}

func (w *world) api() http.Handler {
	mux := http.NewServeMux()
	handle := func(path string, do func(r *http.Request) (any, error)) {
		mux.HandleFunc(path, func(rw http.ResponseWriter, r *http.Request) {
			answer, err := do(r)
			if err != nil {
				http.Error(rw, err.Error(), http.StatusBadRequest)
				return
			}
			_ = json.NewEncoder(rw).Encode(answer)
		})
	}
	handle("POST /change", w.change)
	handle("POST /open", func(*http.Request) (any, error) { return true, w.open() })
	handle("POST /save", func(r *http.Request) (any, error) {
		all := map[string]map[string]types.Resource{}
		for url, c := range w.caches {
			all[url] = c.GetResources()
		}
		w.saved[r.URL.Query().Get("name")] = all
		return true, nil
	})
	handle("POST /restore", func(r *http.Request) (any, error) {
		for url, resources := range w.saved[r.URL.Query().Get("name")] {
			w.caches[url].SetResources(resources)
		}
		return true, nil
	})
	handle("POST /cut", func(*http.Request) (any, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for conn := range w.conns {
			_ = conn.Close()
		}
		return len(w.conns), nil
	})
	handle("GET /said", func(*http.Request) (any, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return map[string]any{
			"acks": w.acks, "accepted": w.accepted, "nacks": w.nacks, "streams": w.streams, "opened": w.opened,
		}, nil
	})
	return mux
}

// change sets and removes resources; each type changes in one step.
func (w *world) change(r *http.Request) (any, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var wanted change
	if err := json.Unmarshal(body, &wanted); err != nil {
		return nil, err
	}
	set := map[string]map[string]types.Resource{}
	for _, text := range wanted.Set {
		var packed anypb.Any
		if err := protojson.Unmarshal(text, &packed); err != nil {
			return nil, fmt.Errorf("%w in %.200s", err, text)
		}
		message, err := packed.UnmarshalNew()
		if err != nil {
			return nil, err
		}
		url := packed.GetTypeUrl()
		if w.caches[url] == nil {
			return nil, fmt.Errorf("%s is no resource type", url)
		}
		if set[url] == nil {
			set[url] = map[string]types.Resource{}
		}
		set[url][nameOf(message)] = message
	}
	began := time.Now()
	for _, url := range typeURLs {
		remove := wanted.Remove[url]
		if len(set[url])+len(remove) == 0 {
			continue
		}
		if err := w.caches[url].UpdateResources(set[url], remove); err != nil {
			return nil, err
		}
	}
	return map[string]any{"began": float64(began.UnixNano()) / 1e6}, nil
}

func nameOf(message any) string {
	switch m := message.(type) {
	case *cluster.Cluster:
		return m.GetName()
	case *endpoint.ClusterLoadAssignment:
		return m.GetClusterName()
	case *listener.Listener:
		return m.GetName()
	case *route.RouteConfiguration:
		return m.GetName()
	case *route.ScopedRouteConfiguration:
		return m.GetName()
	case *route.VirtualHost:
		return m.GetName()
	case *tls.Secret:
		return m.GetName()
	case *runtime.Runtime:
		return m.GetName()
	case *core.TypedExtensionConfig:
		return m.GetName()
	}
	return ""
}

// tracked knows its connections, so that they can be cut.
type tracked struct {
	net.Listener
	world *world
}

type trackedConn struct {
	net.Conn
	world *world
}

func (l *tracked) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	one := &trackedConn{conn, l.world}
	l.world.mu.Lock()
	defer l.world.mu.Unlock()
	l.world.conns[one] = struct{}{}
	return one, nil
}

func (c *trackedConn) Close() error {
	go func() {
		c.world.mu.Lock()
		defer c.world.mu.Unlock()
		delete(c.world.conns, c)
	}()
	return c.Conn.Close()
}
