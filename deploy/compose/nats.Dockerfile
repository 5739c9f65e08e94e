# nats-server as go.mod pins it, for the compose file where there is no registry.
# `make nats-image` builds it.
FROM scratch
COPY program/ /
VOLUME /data
EXPOSE 4222 6222 8222
ENTRYPOINT ["/nats-server"]
