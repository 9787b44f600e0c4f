package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/store"
)

// The operator sees in the metrics that a notice does not arrive.
func TestMetricsOfNotices(t *testing.T) {
	s := runServer(t, Config{Metrics: "same"})
	metrics := func(want ...string) {
		t.Helper()
		_, text := get(t, "http://"+s.Addr().String()+"/metrics")
		for _, w := range want {
			if !strings.Contains(text, "\n"+w+"\n") {
				t.Errorf("no %s in the metrics", w)
			}
		}
	}
	metrics(`datestone_notice_deliveries{state="due"} 0`, `datestone_notice_deliveries{state="parked"} 0`, "datestone_notice_oldest_due_seconds 0")
	owner := newOwner(t, s.db)
	e, err := s.db.AddEndpoint(t.Context(), time.Now(), notify.Endpoint{
		UID: account.NewID(), Account: owner.ID, Channel: notify.Webhook, Address: "http://127.0.0.1:1/", Kinds: notify.Set(notify.Confirmed), Secret: []byte{},
	}, store.EndpointLimits{Wide: 1, All: 1})
	if err != nil {
		t.Fatal(err)
	}
	due := time.Unix(1_700_000_000, 0)
	if _, err := s.db.AddTest(t.Context(), due, owner.ID, e.UID); err != nil {
		t.Fatal(err)
	}
	// It is tried now, and long past what it is tried for.
	var parked int64
	for deadline := time.Now().Add(time.Minute); parked == 0 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if _, parked, _, err = s.db.CountDeliveries(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	metrics(`datestone_notice_deliveries{state="due"} 0`, `datestone_notice_deliveries{state="parked"} 1`, "datestone_notice_oldest_due_seconds 0")
	if n, err := s.db.RetryDeliveries(t.Context(), time.Unix(4_000_000_000, 0), notify.Filter{}); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	metrics(`datestone_notice_deliveries{state="due"} 1`, `datestone_notice_deliveries{state="parked"} 0`, fmt.Sprintf("datestone_notice_oldest_due_seconds %v", 4e9))
}
