package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/show"
	"backhaul/cmd/internal/validate"
	"backhaul/schemas"
)

func newSchemaCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Show the JSON Schemas of requests and events, hold documents against them",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSchemaListCommand(), newSchemaShowCommand(), newSchemaValidateCommand(), newSchemaAsyncAPICommand())
	return cmd
}

func newSchemaListCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the schemas",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return listSchemas(cmd.OutOrStdout(), output) },
	}
	addOutputFlag(cmd, &output)
	return cmd
}

func listSchemas(w io.Writer, output string) error {
	t := newTable(w)
	for _, name := range schemas.SchemaNames() {
		data, err := schemas.Schema(name)
		if err != nil {
			return err
		}
		entry := struct {
			Name  string `json:"name"`
			Title string `json:"title"`
			ID    string `json:"$id"`
		}{Name: name}
		if err := json.Unmarshal(data, &entry); err != nil {
			return err
		}
		if output == outputJSON {
			if err := printJSON(w, entry); err != nil {
				return err
			}
			continue
		}
		t.row(entry.Name, entry.Title, entry.ID)
	}
	return t.flush()
}

func newSchemaShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "show NAME",
		Short:             "Print a schema",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.FixedCompletions(schemas.SchemaNames(), cobra.ShellCompDirectiveNoFileComp),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := schemas.Schema(args[0])
			if err != nil {
				return &usageError{err}
			}
			_, err = cmd.OutOrStdout().Write(data)
			return err
		},
	}
}

func newSchemaAsyncAPICommand() *cobra.Command {
	return &cobra.Command{
		Use:   "asyncapi",
		Short: "Print the AsyncAPI document of all subjects and their messages",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(schemas.AsyncAPI())
			return err
		},
	}
}

func newSchemaValidateCommand() *cobra.Command {
	var schema, output string
	cmd := &cobra.Command{
		Use:   "validate FILE...",
		Short: "Validate requests or events",
		Long: `Reads JSON documents one after another, such as NDJSON; - is standard input. A
CloudEvent of one of our types is held against the schema of its kind, anything
else is read as the service reads a request, so that its verdict is the service's.
Every problem is printed with its place. The exit code is 1 if there is any.`,
		Example: `  backhaul schema validate requests.ndjson
  backhaul events --output json | backhaul schema validate -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error { return runValidate(cmd, files, schema, output) },
	}
	cmd.Flags().StringVar(&schema, "schema", "", "`name` of the schema for all documents, by default as each says itself; see schema ls")
	addOutputFlag(cmd, &output)
	return cmd
}

func runValidate(cmd *cobra.Command, files []string, schema, output string) error {
	v, err := validate.New(schema)
	if err != nil {
		return &usageError{fmt.Errorf("--schema: %w", err)}
	}
	documents, invalid := 0, 0
	for _, file := range files {
		data, err := readInput(cmd, file)
		if err != nil {
			return &usageError{err}
		}
		noteMark(cmd.ErrOrStderr(), file, data)
		err = v.Read(data, func(d validate.Document) error {
			documents++
			if !d.Valid() {
				invalid++
			}
			return printChecked(cmd.OutOrStdout(), output, file, d)
		})
		if err != nil {
			return err
		}
	}
	if output == outputTable {
		fmt.Fprintf(cmd.OutOrStdout(), "%d valid, %d invalid\n", documents-invalid, invalid)
	}
	switch {
	case invalid > 0:
		return errSaid
	case documents == 0:
		return fmt.Errorf("no document in it")
	}
	return nil
}

// printChecked writes a document as JSON, or its problems as a compiler would.
func printChecked(w io.Writer, output, file string, d validate.Document) error {
	if output == outputJSON {
		return printJSON(w, struct {
			File string `json:"file"`
			validate.Document
			Valid bool `json:"valid"`
		}{file, d, d.Valid()})
	}
	for _, p := range d.Problems {
		text := p.Text
		if p.Pointer != "" {
			text = p.Pointer + ": " + text
		}
		fmt.Fprintln(w, show.Line(fmt.Sprintf("%s:%d: %s", file, p.Line, text)))
	}
	return nil
}
