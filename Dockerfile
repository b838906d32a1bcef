# The image of the operator: one static binary, no shell, no root. hack/image builds the same image
# without Docker, and its tests compare the two.
ARG VERSION=dev

# The digest pins the Go image, because a tag can move to another image. It is the digest of the
# multi-platform index. Change it together with the tag.
FROM --platform=$BUILDPLATFORM golang:1.26.8@sha256:0f063af2d465d8dcae54cce04278ada488b96f77b42449c8d071e47d016cc65a AS builder
ARG TARGETOS
ARG TARGETARCH
ARG VERSION
WORKDIR /src

# Modules change less often than code, so Docker can cache them in a separate layer.
COPY go.mod go.sum ./
RUN go mod download

COPY api/ api/
COPY cmd/ cmd/
COPY controllers/ controllers/
COPY internal/ internal/
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/pipes-operator ./cmd/pipes-operator
# chmod sets the modes in this stage. COPY --chmod would also set the mode of the directories that
# it creates.
COPY hack/image/passwd /out/passwd
RUN cp /etc/ssl/certs/ca-certificates.crt /out/ \
    && chmod 0444 /out/passwd /out/ca-certificates.crt \
    && chmod 0555 /out/pipes-operator

FROM scratch
ARG VERSION
LABEL org.opencontainers.image.title=pipes-operator \
    org.opencontainers.image.version=$VERSION \
    org.opencontainers.image.licenses=Apache-2.0
COPY --from=builder /out/pipes-operator /pipes-operator
COPY --from=builder /out/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=builder /out/passwd /etc/passwd
# The user is numeric, because the kubelet cannot check runAsNonRoot for a user name.
USER 65532:65532
ENTRYPOINT ["/pipes-operator"]
