# The gateway, and nothing else: docker build --tag tidegate .
#
# There is no shell in it, so nothing of it asks how it does. Who runs it does: `grpc.health.v1.Health` on the port of clients, as
# Kubernetes' probe `grpc: { port: 50051 }`. Stopping takes up to `server.drain`, 30 s: docker run --stop-timeout 40.

FROM rust:1-bookworm AS builder
WORKDIR /build
COPY . .
RUN make static && mkdir data

FROM scratch
# Handlers at https:// addresses are trusted by these, unless `ca` says another.
COPY --from=builder /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=builder /build/target/static/tidegate /tidegate
COPY --from=builder --chown=65532:65532 --chmod=700 /build/data /data
USER 65532:65532
ENV TIDEGATE_STORE__PATH=/data
VOLUME /data
EXPOSE 50051
STOPSIGNAL SIGTERM
# It listens on loopback, where only what shares its network reaches it. `--listen 0.0.0.0:50051 --insecure` lets others in, and
# believes them: only behind something that knows who calls, or on a port that is this machine's alone.
ENTRYPOINT ["/tidegate"]
CMD ["serve"]
