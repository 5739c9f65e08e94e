package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// manifest is an entry of manifest.json in what `docker save` writes.
type manifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// normalise takes an archive of one image and returns one of the same image with
// all times at this one, and without the traces of the build. The image's id is the
// hash of its configuration.
func normalise(saved []byte, tag string, at time.Time) (archive []byte, id string, err error) {
	files, err := untar(saved)
	if err != nil {
		return nil, "", err
	}
	var images []manifest
	if err := json.Unmarshal(files["manifest.json"], &images); err != nil || len(images) != 1 {
		return nil, "", fmt.Errorf("manifest.json has %d images: %w", len(images), err)
	}
	configuration, err := cleanConfig(files[images[0].Config], at)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", images[0].Config, err)
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(configuration))
	clean := manifest{Config: sum + ".json", RepoTags: []string{tag}}

	var out bytes.Buffer
	w := tar.NewWriter(&out)
	put := func(name string, content []byte) {
		err = errors.Join(err, add(w, tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, content, at))
	}
	put(clean.Config, configuration)
	for i, layer := range images[0].Layers {
		if files[layer] == nil {
			return nil, "", fmt.Errorf("no %s in the archive", layer)
		}
		name := fmt.Sprintf("layer-%d.tar", i)
		clean.Layers = append(clean.Layers, name)
		put(name, files[layer])
	}
	list, marshalErr := json.Marshal([]manifest{clean})
	put("manifest.json", list)
	return out.Bytes(), "sha256:" + sum, errors.Join(err, marshalErr, w.Close())
}

// cleanConfig is an image's configuration without what the build left in it: when,
// in which container, out of which image, with which engine.
func cleanConfig(data []byte, at time.Time) ([]byte, error) {
	var config map[string]any
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, err
	}
	created := at.Format(time.RFC3339)
	config["created"] = created
	for _, trace := range []string{"container", "container_config", "docker_version"} {
		delete(config, trace)
	}
	if run, ok := config["config"].(map[string]any); ok {
		delete(run, "Image")
		delete(run, "Hostname")
	}
	history, _ := config["history"].([]any)
	for _, step := range history {
		if step, ok := step.(map[string]any); ok {
			step["created"] = created
		}
	}
	return json.Marshal(config) // with its members in order
}

func untar(archive []byte) (map[string][]byte, error) {
	files := make(map[string][]byte)
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("archive of the image: %w", err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if files[header.Name], err = io.ReadAll(r); err != nil {
			return nil, fmt.Errorf("archive of the image: %w", err)
		}
	}
}
