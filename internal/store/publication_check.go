package store

import (
	"context"
	"fmt"
)

// CheckPublications says which deliveries and places belong to no publication, which places have no date or nobody who
// said so, and which notice is of a later period than the newest that was decided, at most limit of them.
func (db *DB) CheckPublications(ctx context.Context, limit int) ([]string, error) {
	rows, err := db.query(ctx, `SELECT what FROM (
			SELECT 'a delivery by ' || channel || ' is of publication ' || CAST(publication AS TEXT) || ', which is not there' AS what
				FROM publication_delivery WHERE publication NOT IN (SELECT id FROM publication)
			UNION ALL SELECT 'place ' || CAST(id AS TEXT) || ' is of publication ' || CAST(publication AS TEXT) || ', which is not there'
				FROM publication_place WHERE publication NOT IN (SELECT id FROM publication)
			UNION ALL SELECT 'place ' || CAST(id AS TEXT) || ' of publication ' || CAST(publication AS TEXT) || ' has no issue, or nobody who confirmed it'
				FROM publication_place WHERE issue = '' OR confirmer = '' OR confirmed = 0 OR withdrawn <> 0 AND withdrawer = ''
			UNION ALL SELECT 'publication ' || CAST(p.id AS TEXT) || ' is of the period ' || p.period || ', which is later than the newest that was decided'
				FROM publication p WHERE p.period NOT LIKE 'extra %' AND p.purpose = 'log'
				AND NOT EXISTS (SELECT 1 FROM publication_period d WHERE d.target = p.target AND d.period >= p.period)
		) found ORDER BY what LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("checking publications: %w", err)
	}
	defer rows.Close()
	var wrong []string
	for rows.Next() {
		var what string
		if err := rows.Scan(&what); err != nil {
			return nil, fmt.Errorf("checking publications: %w", err)
		}
		wrong = append(wrong, what)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("checking publications: %w", err)
	}
	return wrong, nil
}
