package main

import (
	clusterservice "github.com/envoyproxy/go-control-plane/envoy/service/cluster/v3"
	endpointservice "github.com/envoyproxy/go-control-plane/envoy/service/endpoint/v3"
	listenerservice "github.com/envoyproxy/go-control-plane/envoy/service/listener/v3"
	routeservice "github.com/envoyproxy/go-control-plane/envoy/service/route/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
)

// registerSingle adds the services of single types, for clients without an aggregated stream.
func registerSingle(to *grpc.Server, from server.Server) {
	clusterservice.RegisterClusterDiscoveryServiceServer(to, from)
	endpointservice.RegisterEndpointDiscoveryServiceServer(to, from)
	listenerservice.RegisterListenerDiscoveryServiceServer(to, from)
	routeservice.RegisterRouteDiscoveryServiceServer(to, from)
}
