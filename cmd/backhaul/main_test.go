package main

import (
	"testing"

	"backhaul/cmd/internal/programtest"
)

func TestMain(m *testing.M) { programtest.Main(m) }
