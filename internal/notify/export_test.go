package notify

import "context"

// Pass delivers until nothing may be delivered at the clock's time.
func (l *Loop) Pass(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	saving, stopSaving := context.WithCancel(context.WithoutCancel(ctx))
	saved := make(chan error, 1)
	go func() { saved <- l.saveAll(saving) }()
	defer func() {
		stopSaving()
		<-saved
		cancel(nil)
	}()
	for {
		begun, err := l.give(ctx, cancel)
		l.turns.done.Wait()
		if err != nil || begun == 0 {
			return err
		}
	}
}
