package controllers_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	lua "github.com/yuin/gopher-lua"
	luaparse "github.com/yuin/gopher-lua/parse"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

var healthCheckFile = filepath.Join("..", "docs", "guides", "argocd", "health.lua")

// healthCheck is the compiled health check.
var healthCheck = sync.OnceValues(func() (*lua.FunctionProto, error) {
	script, err := os.ReadFile(healthCheckFile)
	if err != nil {
		return nil, err
	}
	chunk, err := luaparse.Parse(strings.NewReader(string(script)), healthCheckFile)
	if err != nil {
		return nil, err
	}
	return lua.Compile(chunk, healthCheckFile)
})

// argoHealth returns the health that Argo CD computes for an object. It runs the health check as
// util/lua/lua.go of Argo CD does: in a new state without the string, math and io libraries, with
// the object in the global obj. The os library of Argo CD, which has only time and date, is
// missing here, because the health does not depend on the time.
func argoHealth(object *unstructured.Unstructured) (health, message string, err error) {
	script, err := healthCheck()
	if err != nil {
		return "", "", err
	}
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			return "", "", fmt.Errorf("opening the library %q: %w", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("obj", luaValue(state, object.Object))
	state.Push(state.NewFunctionFromProto(script))
	if err := state.PCall(0, 1, nil); err != nil {
		return "", "", fmt.Errorf("running the health check: %w", err)
	}
	result, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return "", "", fmt.Errorf("the health check returns %s, not a table", state.Get(-1).Type())
	}
	for field, value := range map[string]*string{"status": &health, "message": &message} {
		text, ok := result.RawGetString(field).(lua.LString)
		if !ok {
			return "", "", fmt.Errorf("%s is %s, not a string", field, result.RawGetString(field).Type())
		}
		*value = string(text)
	}
	return health, message, nil
}

// luaValue converts a value of an unstructured object to Lua.
func luaValue(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case map[string]any:
		table := state.NewTable()
		for key, item := range value {
			table.RawSetString(key, luaValue(state, item))
		}
		return table
	case []any:
		table := state.NewTable()
		for _, item := range value {
			table.Append(luaValue(state, item))
		}
		return table
	case string:
		return lua.LString(value)
	case bool:
		return lua.LBool(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	default:
		return lua.LNil
	}
}
