# The build needs npm's registry (the runtime, the compiler of protos and the bundler are packages) and Debian's.
# Without an engine and without images to pull: node scripts/build-image.ts, which gives this stage to buildah ready-made.
FROM node:24-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
# npm scripts run on the pinned Node in node_modules/.bin.
RUN apt-get update && npm run build:executable && node_modules/.bin/node scripts/image-root.ts /image

# glibc, libstdc++, iptables, ip and certificate authorities: no shell, no package manager. The proxy writes no file.
FROM scratch
COPY --from=build /image /
COPY --from=build /src/LICENSE /usr/share/doc/inox/LICENSE
COPY --from=build /src/dist/inox /usr/local/bin/inox
# As in bin/inox: one arena of malloc instead of one per thread.
ENV PATH=/usr/local/bin:/usr/sbin:/bin MALLOC_ARENA_MAX=1
# The uid that iptables rules leave alone, so that the proxy does not capture itself. `inox iptables` runs as root.
USER 1337:1337
# Captured outbound and inbound traffic, readiness, metrics. Admin stays on loopback.
EXPOSE 15001 15006 15021 15090
STOPSIGNAL SIGTERM
# Kubernetes has probes of its own; this is for Docker and Podman. A configuration without a readiness port of its own
# gets one with --metrics-address or INOX_METRICS_ADDRESS.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["inox", "ready"]
ENTRYPOINT ["inox"]
CMD ["run"]
