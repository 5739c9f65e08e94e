// Command image builds a container image that depends on nothing but its content:
// the same files make the same image id, on another day and another machine.
//
//	image -dockerfile deploy/Dockerfile -tag backhaul:dev program/backhaul=bin/backhaul state/data/
//
// Arguments are what the Dockerfile can copy: NAME=FILE, or NAME/ for an empty
// directory. The time of everything is SOURCE_DATE_EPOCH, or 1970.
//
// It needs the docker command and an engine, with BuildKit or without. The builder
// notes when and in which container it worked, also with a fixed time, so
// the image is taken out, rid of that, and loaded again.
package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options say what to build.
type options struct {
	dockerfile string
	tag        string
	labels     []string
	epoch      time.Time
	content    []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o := options{}
	flag.StringVar(&o.dockerfile, "dockerfile", "deploy/Dockerfile", "`file` to follow")
	flag.StringVar(&o.tag, "tag", "", "`name:tag` of the image")
	flag.Func("label", "`key=value`, any number of times", func(l string) error { o.labels = append(o.labels, l); return nil })
	flag.Parse()
	o.content = flag.Args()
	id, err := build(ctx, o)
	if err != nil {
		fmt.Fprintf(os.Stderr, "image: %v\n", err)
		os.Exit(1)
	}
	fmt.Printf("%s %s\n", o.tag, id)
}

// build makes the image and says its id.
func build(ctx context.Context, o options) (id string, err error) {
	if o.tag == "" {
		return "", errors.New("no -tag")
	}
	if o.epoch, err = sourceDate(); err != nil {
		return "", err
	}
	files, err := buildContext(o)
	if err != nil {
		return "", err
	}
	args := []string{"build", "--quiet", "--force-rm", "--no-cache"}
	for _, l := range o.labels {
		args = append(args, "--label", l)
	}
	out, err := docker(ctx, bytes.NewReader(files), append(args, "-")...)
	if err != nil {
		return "", err
	}
	raw := strings.TrimSpace(string(out))
	defer func() { _, _ = docker(context.WithoutCancel(ctx), nil, "rmi", raw) }() // without a name it does no harm if it stays
	saved, err := docker(ctx, nil, "save", raw)
	if err != nil {
		return "", err
	}
	clean, id, err := normalise(saved, o.tag, o.epoch)
	if err != nil {
		return "", err
	}
	_, err = docker(ctx, bytes.NewReader(clean), "load", "--quiet")
	return id, err
}

// docker runs the docker command and returns what it printed.
func docker(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Env = append(os.Environ(), "BUILDX_NO_DEFAULT_ATTESTATIONS=1") // they have times in them
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("docker %s: %w\n%s", args[0], err, errs.Bytes())
	}
	return out.Bytes(), nil
}

// sourceDate is the time of everything, as https://reproducible-builds.org has it.
func sourceDate() (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// buildContext is a tar archive of what the Dockerfile needs. Layers take the times
// and modes of its files.
func buildContext(o options) ([]byte, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	seen := make(map[string]bool) // parents, which are files of their own for the layer
	for _, entry := range append([]string{"Dockerfile=" + o.dockerfile}, o.content...) {
		name, file, isFile := strings.Cut(entry, "=")
		if !isFile && !strings.HasSuffix(name, "/") {
			return nil, fmt.Errorf("%q is neither NAME=FILE nor NAME/", entry)
		}
		parts := strings.Split(strings.TrimSuffix(name, "/"), "/")
		for i := 1; i < len(parts); i++ {
			parent := strings.Join(parts[:i], "/") + "/"
			if seen[parent] {
				continue
			}
			seen[parent] = true
			if err := add(w, tar.Header{Typeflag: tar.TypeDir, Name: parent, Mode: 0o755}, nil, o.epoch); err != nil {
				return nil, err
			}
		}
		if !isFile {
			if err := add(w, tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o700}, nil, o.epoch); err != nil {
				return nil, err
			}
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		header := tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}
		if info, err := os.Stat(file); err != nil {
			return nil, err
		} else if info.Mode()&0o111 != 0 {
			header.Mode = 0o755
		}
		if err := add(w, header, content, o.epoch); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return archive.Bytes(), err
}

func add(w *tar.Writer, header tar.Header, content []byte, at time.Time) error {
	header.ModTime, header.Size = at, int64(len(content))
	if err := w.WriteHeader(&header); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}
