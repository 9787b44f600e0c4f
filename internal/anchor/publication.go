package anchor

import "time"

// The states of a target that is printed.
const (
	// MailDown: the mail server does not take messages now.
	MailDown Code = "mail_down"
	// MailMisconfigured: the mail server refuses us.
	MailMisconfigured Code = "mail_misconfigured"
	// MailRefused: no mail server takes messages to the publisher's address.
	MailRefused Code = "mail_refused"
	// FolderMissing: there is no such folder.
	FolderMissing Code = "folder_missing"
	// FolderFull: the folder's disk has no room.
	FolderFull Code = "folder_full"
	// FolderDenied: we may not write into the folder.
	FolderDenied Code = "folder_denied"
	// FolderFailed: writing into the folder failed in another way.
	FolderFailed Code = "folder_failed"
	// URLDown: there is no answer at the publisher's URL.
	URLDown Code = "url_down"
	// URLFailed: the publisher's URL answers that it failed.
	URLFailed Code = "url_failed"
	// URLRefused: the publisher's URL refuses us.
	URLRefused Code = "url_refused"
	// Unconfirmed: nobody has said for long where a notice was printed.
	Unconfirmed Code = "unconfirmed"
)

// printedNeedsPerson is NeedsPerson for those.
func (c Code) printedNeedsPerson() bool {
	switch c {
	case MailMisconfigured, MailRefused, FolderMissing, FolderFull, FolderDenied, URLRefused, Unconfirmed:
		return true
	}
	return false
}

// Printed is what the status of a target that is printed has beside the others'.
type Printed struct {
	Every        string     `json:"every"`                   // how often a notice is made, in words
	Next         time.Time  `json:"next"`                    // when the next one is due
	Last         *Notice    `json:"last,omitempty"`          // the newest one
	Waiting      int        `json:"waiting"`                 // how many are not confirmed
	WaitingSince *time.Time `json:"waiting_since,omitempty"` // since when the oldest of them waits
	Confirmed    *Notice    `json:"confirmed,omitempty"`     // the newest one that is
}

// Notice is a root that is printed.
type Notice struct {
	ID    int64     `json:"id"`
	Date  string    `json:"date"`
	Epoch int       `json:"epoch"`
	Size  int64     `json:"size"` // of the head
	Made  time.Time `json:"made"`
	Issue string    `json:"issue,omitempty"` // where it appeared
	Page  string    `json:"page,omitempty"`
	URL   string    `json:"url,omitempty"`
}
