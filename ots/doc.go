// Package ots holds the OpenTimestamps proof format.
package ots
