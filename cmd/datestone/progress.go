package main

import (
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// patience is how long work may take before it gets a bar.
const patience = 300 * time.Millisecond

// progress is a bar on a terminal's standard error, and nothing anywhere else. It is
// safe for concurrent use.
type progress struct {
	start func() *progressbar.ProgressBar
	due   time.Time

	mu   sync.Mutex // guards what is below
	bar  *progressbar.ProgressBar
	seen int // done before there was a bar
}

// progress makes a bar that appears only when the work lasts.
func (a *app) progress(total int64, what string, bytes bool) *progress {
	if !a.stderrTTY || a.JSON || a.level() < 0 || total <= 0 {
		return &progress{}
	}
	return &progress{due: time.Now().Add(patience), start: func() *progressbar.ProgressBar {
		return progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(a.stderr),
			progressbar.OptionSetDescription(what),
			progressbar.OptionShowBytes(bytes),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetRenderBlankState(false),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionSetWidth(30),
		)
	}}
}

func (p *progress) add(n int) {
	if p.start == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen += n
	if p.bar == nil {
		if time.Now().Before(p.due) {
			return
		}
		p.bar = p.start()
	}
	_ = p.bar.Add(p.seen)
	p.seen = 0
}

func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
