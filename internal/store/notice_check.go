package store

import (
	"context"
	"fmt"
)

// noticeChecks find what no notice, delivery or endpoint may be: the id of a row of each.
var noticeChecks = []struct{ table, what, text string }{
	{"notice", "is about a stamp that is not there, or is another account's or elsewhere",
		`SELECT n.id FROM notice n LEFT JOIN stamp s ON s.id = n.stamp WHERE n.kind NOT IN ('test', 'trouble', 'attested', 'complete', 'seeded')
			AND (s.id IS NULL OR s.account <> n.account OR s.position <> n.position) ORDER BY n.id LIMIT $1`},
	{"notice", "is about a signed digest that is not there, or is another account's or elsewhere",
		`SELECT n.id FROM notice n WHERE n.kind IN ('attested', 'complete') AND NOT EXISTS (SELECT 1 FROM signer k JOIN signed d ON d.signer = k.id
			WHERE k.account = n.account AND d.position = n.position AND d.nonce = n.stamp) ORDER BY n.id LIMIT $1`},
	{"notice", "is about a seed of what was not submitted to its target",
		`SELECT n.id FROM notice n WHERE n.kind = 'seeded' AND (NOT EXISTS (SELECT 1 FROM submitted m WHERE m.number = n.position)
			OR NOT EXISTS (SELECT 1 FROM seed s WHERE s.target = n.target AND s.first <= n.position AND s.before > n.position)) ORDER BY n.id LIMIT $1`},
	{"notice", "says of a stamp that it is confirmed, beyond what was walked",
		`SELECT n.id FROM notice n WHERE n.stands = 1 AND NOT EXISTS (SELECT 1 FROM notice_cursor c WHERE c.target = n.target AND c.kind = 'confirmed'
			AND c.epoch = n.position / 281474976710656 AND n.position - c.epoch * 281474976710656 < CASE WHEN c.upto > c.size THEN c.upto ELSE c.size END) ORDER BY n.id LIMIT $1`},
	{"delivery", "has no notice or no endpoint, or the endpoint is another account's",
		`SELECT d.id FROM delivery d LEFT JOIN notice n ON n.id = d.notice LEFT JOIN endpoint e ON e.id = d.endpoint
			WHERE n.id IS NULL OR e.id IS NULL OR e.account <> n.account ORDER BY d.id LIMIT $1`},
	{"endpoint", "has something due and no time at which it is tried, or the other way round",
		`SELECT e.id FROM endpoint e WHERE e.state = 0
			AND (e.next > 0) <> EXISTS (SELECT 1 FROM delivery d WHERE d.endpoint = e.id AND d.state = 0) ORDER BY e.id LIMIT $1`},
	{"endpoint", "is about a stamp that is not there, or is another account's or elsewhere",
		`SELECT e.id FROM endpoint e LEFT JOIN stamp s ON s.id = e.stamp WHERE e.state <> 2 AND e.stamp IS NOT NULL
			AND (s.id IS NULL OR s.account <> e.account OR s.position <> e.position) ORDER BY e.id LIMIT $1`},
	{"endpoint", "sends e-mail elsewhere than to its account, or twice, or nobody could unsubscribe",
		`SELECT e.id FROM endpoint e LEFT JOIN account a ON a.id = e.account WHERE e.channel = 'mail' AND e.account <> 0 AND e.state <> 2
			AND (a.id IS NULL OR a.email <> e.address OR LENGTH(e.secret) <> 16
				OR EXISTS (SELECT 1 FROM endpoint o WHERE o.account = e.account AND o.channel = 'mail' AND o.state <> 2 AND o.id <> e.id)) ORDER BY e.id LIMIT $1`},
	{"signer", "has a callback and no endpoint for it, or the other way round",
		`SELECT k.id FROM signer k LEFT JOIN endpoint e ON e.id = k.endpoint AND e.account = k.account AND e.channel = 'callback' AND e.address = k.callback
			WHERE (k.callback <> '' OR k.endpoint <> 0) AND e.id IS NULL ORDER BY k.id LIMIT $1`},
}

// CheckNotices says what is wrong with notices, at most limit times for each thing that may be.
func (db *DB) CheckNotices(ctx context.Context, limit int) ([]string, error) {
	var wrong []string
	for _, c := range noticeChecks {
		rows, err := db.query(ctx, c.text, limit)
		if err != nil {
			return nil, fmt.Errorf("checking notices: %w", err)
		}
		for rows.Next() {
			var id int64
			if err := rows.Scan(&id); err != nil {
				rows.Close()
				return nil, fmt.Errorf("checking notices: %w", err)
			}
			wrong = append(wrong, fmt.Sprintf("%s %d %s", c.table, id, c.what))
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return nil, fmt.Errorf("checking notices: %w", err)
		}
	}
	return wrong, nil
}
