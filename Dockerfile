# The operator as an image: one static binary, no shell, no root.
ARG BASE_IMAGE=gcr.io/distroless/static:nonroot

FROM --platform=$BUILDPLATFORM golang:1.26.8 AS builder
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
WORKDIR /src

# Modules change more rarely than code: a layer of their own.
COPY go.mod go.sum ./
RUN go mod download

COPY api/ api/
COPY cmd/ cmd/
COPY controllers/ controllers/
COPY internal/ internal/
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/pipes-operator ./cmd/pipes-operator

FROM ${BASE_IMAGE}
COPY --from=builder /out/pipes-operator /pipes-operator
# By number, so that runAsNonRoot can tell.
USER 65532:65532
ENTRYPOINT ["/pipes-operator"]
