# syntax=docker/dockerfile:1
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# The caches make the second build short; they stay out of the image, so the program is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package frontrow && cp target/release/frontrow /frontrow

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin frontrow
COPY --from=build /frontrow /usr/local/bin/frontrow
# Whom to trust, for calls to a card gateway.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
USER frontrow
ENV FRONTROW_LISTEN=0.0.0.0:8000
EXPOSE 8000
# In bash, because the slim image has neither wget nor curl.
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/8000 && printf 'GET /health/live HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]
ENTRYPOINT ["frontrow"]
CMD ["serve"]
