package parleyotel_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/seed-0474a412/parley"
	parleyotel "github.com/seed-0474a412/parley/otel"
)

func ExampleInstrument() {
	spans := tracetest.NewInMemoryExporter() // where a program has one that sends them
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	client, err := parley.New(
		parley.WithBaseURL("https://api.example.com/v1"),
		parley.WithHandler(http.NotFoundHandler()), // in place of a network
		parleyotel.Instrument(parleyotel.WithTracerProvider(tracers)),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Get(context.Background(), "users/{id}", parley.WithPath("id", "7")); err != nil {
		log.Fatal(err)
	}
	for _, span := range spans.GetSpans() {
		fmt.Println(span.SpanKind, span.Name, span.Status.Code)
	}
	// Output:
	// client GET /v1/users/{id} Error
	// internal GET /v1/users/{id} Error
}
