package main

import (
	uberzap "go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// lazily makes a logger encode its values only when it writes its first line. controller-runtime
// creates a logger with several values for each reconcile, and most reconciles write no line.
// The encoding of these values was a thirteenth of all allocations while PipesTokens were
// created.
func lazily() uberzap.Option {
	return uberzap.WrapCore(func(core zapcore.Core) zapcore.Core { return lazyCore{core} })
}

// lazyCore stays lazy when values are added to values. The lazy core of zapcore does not.
type lazyCore struct{ zapcore.Core }

func (c lazyCore) With(fields []zapcore.Field) zapcore.Core {
	return lazyCore{zapcore.NewLazyWith(c.Core, fields)}
}
