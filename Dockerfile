# syntax=docker/dockerfile:1
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# Paths and times of the building machine stay out of the program: docs/releasing.md.
ARG SOURCE_DATE_EPOCH=0
ENV RUSTFLAGS="--remap-path-prefix=/src=. --remap-path-prefix=/usr/local/cargo=cargo"
# The caches make the second build short; they stay out of the image, so the program is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package frontrow && cp target/release/frontrow /frontrow && strip /frontrow

FROM debian:bookworm-slim
# Whom to trust, for calls to a card gateway.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /frontrow /usr/local/bin/frontrow
USER 10001:10001
ENV FRONTROW_LISTEN=0.0.0.0:8000
EXPOSE 8000
# Whether the process answers, which Postgres being away does not change: that is no reason to kill it.
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s CMD ["frontrow", "health", "--live"]
ENTRYPOINT ["frontrow"]
CMD ["serve"]
