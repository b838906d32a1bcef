package main

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// plot is a line chart.
type plot struct {
	file        string // file name, next to the results
	title, x, y string
	lines       []line
}

// line is a line of a plot. Its points are sorted by x.
type line struct {
	name   string
	points []point
}

type point struct{ x, y float64 }

// The size of the drawing and the margins around the lines, in pixels.
const (
	width, height          = 720.0, 400.0
	left, right, top, foot = 70.0, 20.0, 50.0, 50.0
	// mostPoints is roughly the maximum number of points drawn per line. More would not be
	// visible.
	mostPoints = 500
)

// colours are the colours of Okabe and Ito, which people with colour blindness can distinguish.
var colours = []string{"#0072B2", "#D55E00", "#009E73", "#CC79A7"}

// svg returns the plot as SVG. Both axes start at 0.
func (p plot) svg() string {
	xs, ys := p.axis(func(q point) float64 { return q.x }), p.axis(func(q point) float64 { return q.y })
	text := &strings.Builder{}
	draw := func(format string, values ...any) { _, _ = fmt.Fprintf(text, format+"\n", values...) }
	draw(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="12">`,
		width, height)
	draw(`<rect width="%g" height="%g" fill="white"/>`, width, height)
	draw(`<text x="%g" y="20" font-size="15" text-anchor="middle">%s</text>`, width/2, escaped(p.title))
	for _, at := range xs.ticks() {
		x := left + at/xs.end*(width-left-right)
		draw(`<path d="M%.1f %g V%g" stroke="#ddd"/>`, x, top, height-foot)
		draw(`<text x="%.1f" y="%g" text-anchor="middle">%g</text>`, x, height-foot+16, at)
	}
	for _, at := range ys.ticks() {
		y := height - foot - at/ys.end*(height-top-foot)
		draw(`<path d="M%g %.1f H%g" stroke="#ddd"/>`, left, y, width-right)
		draw(`<text x="%g" y="%.1f" text-anchor="end">%g</text>`, left-6, y+4, at)
	}
	draw(`<text x="%g" y="%g" text-anchor="middle">%s</text>`, width/2, height-12, escaped(p.x))
	draw(`<text transform="translate(16 %g) rotate(-90)" text-anchor="middle">%s</text>`, height/2, escaped(p.y))
	for i, l := range p.lines {
		colour := colours[i%len(colours)]
		draw(`<path d="%s" fill="none" stroke="%s" stroke-width="2"/>`, l.path(xs, ys), colour)
		draw(`<text x="%g" y="%g" fill="%s">%s</text>`, left+float64(i)*120, 40.0, colour, escaped(l.name))
	}
	draw(`</svg>`)
	return text.String()
}

// path returns the line as an SVG path.
func (l line) path(xs, ys axis) string {
	var steps []string
	stride := len(l.points)/mostPoints + 1
	for i, q := range l.points {
		if i%stride != 0 && i != len(l.points)-1 {
			continue
		}
		command := "L"
		if len(steps) == 0 {
			command = "M"
		}
		steps = append(steps, fmt.Sprintf("%s%.1f %.1f", command,
			left+q.x/xs.end*(width-left-right), height-foot-q.y/ys.end*(height-top-foot)))
	}
	return strings.Join(steps, " ")
}

// axis is the scale from 0 to end, with a tick at every step.
type axis struct{ step, end float64 }

// axis returns an axis on which all points fit.
func (p plot) axis(value func(point) float64) axis {
	most := 0.0
	for _, l := range p.lines {
		for _, q := range l.points {
			most = max(most, value(q))
		}
	}
	return axisTo(most)
}

// axisTo returns an axis that ends at most or slightly above, with about five steps of 1, 2 or 5
// times a power of ten.
func axisTo(most float64) axis {
	if most <= 0 {
		return axis{step: 1, end: 1}
	}
	const steps = 5
	magnitude := math.Pow(10, math.Floor(math.Log10(most/steps)))
	for _, factor := range []float64{1, 2, 5, 10} {
		if step := factor * magnitude; step*steps >= most {
			return axis{step: step, end: step * math.Ceil(most/step)}
		}
	}
	return axis{step: most, end: most}
}

func (a axis) ticks() []float64 {
	var ticks []float64
	for i := 0; float64(i)*a.step <= a.end*(1+1e-9); i++ {
		ticks = append(ticks, math.Round(float64(i)*a.step*1e9)/1e9)
	}
	return ticks
}

func escaped(text string) string {
	out := &strings.Builder{}
	_ = xml.EscapeText(out, []byte(text)) // a Builder returns no error
	return out.String()
}
