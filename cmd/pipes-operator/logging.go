package main

import (
	uberzap "go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// lazily has a logger encode its values when it writes its first line. controller-runtime makes a logger with several values for each
// pass, and most passes write no line: encoding them took a thirteenth of all that was allocated while PipesTokens were created.
func lazily() uberzap.Option {
	return uberzap.WrapCore(func(core zapcore.Core) zapcore.Core { return lazyCore{core} })
}

// lazyCore stays lazy when values are added to values, which zapcore's own does not.
type lazyCore struct{ zapcore.Core }

func (c lazyCore) With(fields []zapcore.Field) zapcore.Core {
	return lazyCore{zapcore.NewLazyWith(c.Core, fields)}
}
