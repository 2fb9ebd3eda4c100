# The build needs only npm's registry: the runtime, the compiler of protos and the bundler are packages.
FROM node:24-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
# npm scripts run on the pinned Node in node_modules/.bin.
RUN npm run build && npm run build:executable

# The executable needs glibc and libstdc++, which the slim image has, and nothing else; it writes no file.
FROM debian:bookworm-slim AS run
COPY --from=build /src/dist/inox /usr/local/bin/inox
COPY --from=build /src/LICENSE /usr/share/doc/inox/LICENSE
# The uid that iptables rules leave alone, so that the proxy does not capture itself.
USER 1337:1337
# Captured outbound and inbound traffic, readiness, metrics. Admin stays on loopback.
EXPOSE 15001 15006 15021 15090
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/inox"]
CMD ["run"]
