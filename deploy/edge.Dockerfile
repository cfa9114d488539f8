# nginx for the component `edge`, whose configuration is in a ConfigMap:
#   docker build -f deploy/edge.Dockerfile -t lease-gateway-edge:0.1.0 deploy
# Debian 12, whose nginx 1.22 the configuration is tried with; build it anew for Debian's security fixes.
FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends nginx \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log
USER 65532:65532
EXPOSE 50051
# Ends calls in good order; SIGTERM would break them off.
STOPSIGNAL SIGQUIT
ENTRYPOINT ["/usr/sbin/nginx", "-e", "stderr", "-c", "/etc/lease-gateway-edge/nginx.conf", "-g", "daemon off;"]
