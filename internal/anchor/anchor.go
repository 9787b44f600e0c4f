// Package anchor brings heads of the log to a target and keeps what the target attests, for any kind
// of target. It knows no fee, key or RPC.
package anchor
