{{- define "backhaul.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "backhaul.fullname" -}}
{{- $name := include "backhaul.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "backhaul.selector" -}}
app.kubernetes.io/name: {{ include "backhaul.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "backhaul.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
{{ include "backhaul.selector" . }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "backhaul.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "backhaul.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "backhaul.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{/* The seconds of a duration such as 1h30m or 25s, rounded up. */}}
{{- define "backhaul.seconds" -}}
{{- $seconds := 0.0 -}}
{{- range regexFindAll "[0-9.]+(h|ms|us|µs|ns|m|s)" . -1 -}}
{{- $number := regexFind "[0-9.]+" . | float64 -}}
{{- $unit := regexFind "[a-zµ]+$" . -}}
{{- $seconds = addf $seconds (mulf $number (get (dict "h" 3600.0 "m" 60.0 "s" 1.0 "ms" 0.001 "us" 0.000001 "µs" 0.000001 "ns" 0.0) $unit)) -}}
{{- end -}}
{{- ceil $seconds | int -}}
{{- end -}}

{{/* The ports of URLs, as a JSON list: one for each that is not named already. */}}
{{- define "backhaul.ports" -}}
{{- $ports := list -}}
{{- $fallbacks := dict "http" "80" "https" "443" "nats" "4222" "tls" "4222" "ws" "80" "wss" "443" -}}
{{- range . -}}
{{- $url := . | trim -}}
{{- if not (contains "://" $url) -}}{{- $url = printf "nats://%s" $url -}}{{- end -}}
{{- $parts := urlParse $url -}}
{{- $port := regexFind ":[0-9]+$" $parts.host | trimPrefix ":" -}}
{{- $ports = append $ports ($port | default (get $fallbacks $parts.scheme | default "443")) -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}

{{/* The URLs of nats.url, which is a text with commas or a list. */}}
{{- define "backhaul.natsURLs" -}}
{{- $url := dig "nats" "url" list .Values.config -}}
{{- if kindIs "string" $url -}}{{- $url = splitList "," $url -}}{{- end -}}
{{- $url | toJson -}}
{{- end -}}

{{/* The configuration file of the replicas. */}}
{{- define "backhaul.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $own := dict "admin" (dict "addr" ":9090") "log" (dict "format" "json") "nats" dict "vendor" dict "work" dict "protection" dict -}}
{{- if .Values.embedded.enabled -}}
{{- $_ := merge $own.nats (dict "listen" ":4222" "storeDir" "/data") -}}
{{- else if .Values.setup.enabled -}}
{{- $_ := set $own.nats "provision" false -}}
{{- end -}}
{{- if .Values.policy.enabled -}}
{{- $_ := set $own.work "policyFile" "/etc/backhaul/policy/policy.yaml" -}}
{{- end -}}
{{- if .Values.objectives.enabled -}}
{{- $_ := set $own.protection "objectivesFile" "/etc/backhaul/objectives/objectives.yaml" -}}
{{- end -}}
{{- if .Values.tokenPair.existingClaim -}}
{{- $_ := set $own.vendor "tokenPairFile" (printf "/var/lib/backhaul/%s" .Values.tokenPair.file) -}}
{{- end -}}
{{- $_ := unset $config "trigger" -}}
{{- $_ := unset $config "archive" -}}
{{- include "backhaul.addFiles" (dict "to" $own "files" (include "backhaul.runFiles" . | fromJson)) -}}
{{- range $section, $settings := mergeOverwrite $own $config -}}
{{- if $settings }}
{{ $section }}:
  {{- toYaml $settings | nindent 2 }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The configuration file of the setup: where NATS is, and as who. */}}
{{- define "backhaul.setupConfig" -}}
{{- $config := dict "nats" (deepCopy (.Values.config.nats | default dict)) "log" (merge (deepCopy (.Values.config.log | default dict)) (dict "format" "json")) -}}
{{- $_ := unset $config.nats "provision" -}}
{{- $_ := mergeOverwrite $config.nats (deepCopy .Values.setup.nats) -}}
{{- if .Values.setup.eventsMaxAge -}}{{/* it must not be below these */}}
{{- with dig "work" "giveUpAfter" "" .Values.config -}}{{- $_ := set $config "work" (dict "giveUpAfter" .) -}}{{- end -}}
{{- with dig "follow" "for" "" .Values.config -}}{{- $_ := set $config "follow" (dict "for" .) -}}{{- end -}}
{{- end -}}
{{- include "backhaul.addFiles" (dict "to" $config "files" (include "backhaul.setupFiles" . | fromJson)) -}}
{{- toYaml $config -}}
{{- end -}}

{{/* The files of the replicas: all but those of trigger and archive. */}}
{{- define "backhaul.runFiles" -}}
{{- $files := dict -}}
{{- range $setting, $file := .Values.files -}}
{{- if not (or (hasPrefix "trigger." $setting) (hasPrefix "archive." $setting)) -}}{{- $_ := set $files $setting $file -}}{{- end -}}
{{- end -}}
{{- $files | toJson -}}
{{- end -}}

{{- define "backhaul.setupFiles" -}}
{{- include "backhaul.natsFiles" (dict "files" .Values.files "own" .Values.setup.files) -}}
{{- end -}}

{{- define "backhaul.triggerFiles" -}}
{{- include "backhaul.ownFiles" (dict "files" .Values.files "own" .Values.trigger.files "section" "trigger") -}}
{{- end -}}

{{- define "backhaul.archiveFiles" -}}
{{- include "backhaul.ownFiles" (dict "files" .Values.files "own" .Values.archive.files "section" "archive") -}}
{{- end -}}

{{/* The files of another command: those of its section, and of its NATS user. dict "files" "own" "section". */}}
{{- define "backhaul.ownFiles" -}}
{{- $section := printf "%s." .section -}}
{{- $files := include "backhaul.natsFiles" . | fromJson -}}
{{- range $setting, $file := .files -}}
{{- if hasPrefix $section $setting -}}{{- $_ := set $files $setting $file -}}{{- end -}}
{{- end -}}
{{- $files | toJson -}}
{{- end -}}

{{/* The files of another NATS user: a way to prove who one is replaces the replicas' way. dict "files" "own". */}}
{{- define "backhaul.natsFiles" -}}
{{- $files := dict -}}
{{- $proofs := list "nats.creds" "nats.nkey" "nats.passwordFile" "nats.tokenFile" -}}
{{- $replaced := false -}}
{{- range $setting, $_ := .own -}}
{{- if has $setting $proofs -}}{{- $replaced = true -}}{{- end -}}
{{- end -}}
{{- range $setting, $file := .files -}}
{{- if and (hasPrefix "nats." $setting) (not (and $replaced (has $setting $proofs))) -}}
{{- $_ := set $files $setting $file -}}
{{- end -}}
{{- end -}}
{{- mergeOverwrite $files .own | toJson -}}
{{- end -}}

{{/* The configuration file of the trigger: NATS, as who, and the object store. */}}
{{- define "backhaul.triggerConfig" -}}
{{- $config := dict "admin" (dict "addr" ":9090") "nats" (deepCopy (.Values.config.nats | default dict)) "log" (merge (deepCopy (.Values.config.log | default dict)) (dict "format" "json")) -}}
{{- if .Values.setup.enabled -}}{{- $_ := set $config.nats "provision" false -}}{{- end -}}
{{- $_ := mergeOverwrite $config.nats (deepCopy .Values.trigger.nats) -}}
{{- $_ := set $config "trigger" (merge (dict "routes" "/etc/backhaul/routes/routes.yaml") (deepCopy (.Values.config.trigger | default dict))) -}}
{{- include "backhaul.addFiles" (dict "to" $config "files" (include "backhaul.triggerFiles" . | fromJson)) -}}
{{- toYaml $config -}}
{{- end -}}

{{/* The configuration file of the archiver: NATS, as who, and where the archive is. */}}
{{- define "backhaul.archiveConfig" -}}
{{- $config := dict "admin" (dict "addr" ":9090") "nats" (deepCopy (.Values.config.nats | default dict)) "log" (merge (deepCopy (.Values.config.log | default dict)) (dict "format" "json")) -}}
{{- if .Values.setup.enabled -}}{{- $_ := set $config.nats "provision" false -}}{{- end -}}
{{- $_ := mergeOverwrite $config.nats (deepCopy .Values.archive.nats) -}}
{{- $_ := set $config "archive" (merge (deepCopy (.Values.config.archive | default dict)) (dict "location" "/archive/events")) -}}
{{- include "backhaul.addFiles" (dict "to" $config "files" (include "backhaul.archiveFiles" . | fromJson)) -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "backhaul.routes" -}}
{{- dict "source" .Values.trigger.source "unrouted" .Values.trigger.unrouted "routes" .Values.trigger.routes | toYaml -}}
{{- end -}}

{{- define "backhaul.addFiles" -}}
{{- $to := .to -}}
{{- range $setting, $_ := .files -}}
{{- $parts := splitList "." $setting -}}
{{- $section := first $parts -}}
{{- if not (hasKey $to $section) -}}{{- $_ := set $to $section dict -}}{{- end -}}
{{- $_ := set (get $to $section) (last $parts) (printf "/run/secrets/backhaul/%s" $setting) -}}
{{- end -}}
{{- end -}}

{{/* The volume with a set of files. */}}
{{- define "backhaul.filesVolume" -}}
- name: files
  projected:
    defaultMode: 0440
    sources:
      {{- range $setting, $file := . }}
      {{- if $file.secret }}
      - secret:
          name: {{ $file.secret }}
      {{- else }}
      - configMap:
          name: {{ $file.configMap }}
      {{- end }}
          items:
            - key: {{ $file.key }}
              path: {{ $setting }}
      {{- end }}
{{- end -}}

{{- define "backhaul.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "backhaul.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Egress to the ports of URLs: dict "urls" "to". */}}
{{- define "backhaul.egress" -}}
- ports:
    {{- range include "backhaul.ports" .urls | fromJsonArray }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "backhaul.dnsEgress" -}}
- ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
  {{- with .Values.networkPolicy.dns.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* What no schema can say. */}}
{{- define "backhaul.check" -}}
{{- $replicas := .Values.replicas | int -}}
{{- $urls := include "backhaul.natsURLs" . | fromJsonArray -}}
{{- if .Values.embedded.enabled -}}
{{- if or (ne $replicas 1) .Values.keda.enabled -}}
{{- fail "embedded.enabled: the embedded server is one process with one store, so replicas must be 1 and keda off; for more replicas join a NATS server with config.nats.url" -}}
{{- end -}}
{{- if $urls -}}{{- fail "embedded.enabled and config.nats.url are two servers; choose one" -}}{{- end -}}
{{- else if not $urls -}}
{{- fail "config.nats.url: name the NATS server, for example nats://nats.nats.svc:4222, or for a trial set embedded.enabled with replicas 1" -}}
{{- end -}}
{{- $vendor := .Values.config.vendor | default dict -}}
{{- if not $vendor.endpoint -}}
{{- fail "config.vendor.endpoint: name the Commvault API, for example https://m6.metallic.io/webconsole/api" -}}
{{- end -}}
{{- $auth := $vendor.auth | default "login" -}}
{{- if eq $auth "login" -}}
{{- if not $vendor.username -}}{{- fail "config.vendor.username: name the Commvault user, or choose another config.vendor.auth" -}}{{- end -}}
{{- if not (hasKey .Values.files "vendor.passwordFile") -}}{{- fail "files: vendor.passwordFile must name a Secret with the Commvault user's password" -}}{{- end -}}
{{- else if and (eq $auth "token") (not (hasKey .Values.files "vendor.tokenFile")) -}}
{{- fail "files: vendor.tokenFile must name a Secret with the access token" -}}
{{- else if and (eq $auth "bearer") (not .Values.tokenPair.existingClaim) -}}
{{- fail "tokenPair.existingClaim: config.vendor.auth bearer needs a volume that all replicas may write" -}}
{{- end -}}
{{- if and .Values.keda.enabled (not .Values.keda.monitoringEndpoint) -}}
{{- fail "keda.monitoringEndpoint: name the monitoring port of NATS, for example nats.nats.svc:8222" -}}
{{- end -}}
{{- if and .Values.keda.enabled (lt (.Values.keda.maxReplicas | int) (.Values.keda.minReplicas | int)) -}}
{{- fail "keda.maxReplicas must not be below keda.minReplicas" -}}
{{- end -}}
{{- if .Values.trigger.enabled -}}
{{- if .Values.embedded.enabled -}}
{{- fail "trigger.enabled: the trigger is a process of its own and needs a NATS server that it can reach; set config.nats.url instead of embedded.enabled" -}}
{{- end -}}
{{- if and (not .Values.trigger.routes) (not .Values.trigger.existingConfigMap) -}}
{{- fail "trigger.routes: say which changes start a backup of which content group, as in deploy/routes.example.yaml" -}}
{{- end -}}
{{- range .Values.trigger.routes -}}
{{- if .directive -}}
{{- if not (dig "trigger" "s3Endpoint" "" $.Values.config) -}}
{{- fail "config.trigger.s3Endpoint: a route has a directive; name the object store that it is written to" -}}
{{- end -}}
{{- if not (and (hasKey $.Values.files "trigger.s3AccessKeyFile") (hasKey $.Values.files "trigger.s3SecretKeyFile")) -}}
{{- fail "files: a route has a directive; trigger.s3AccessKeyFile and trigger.s3SecretKeyFile must name a Secret with the key" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if .Values.archive.enabled -}}
{{- if .Values.embedded.enabled -}}
{{- fail "archive.enabled: the archiver is a process of its own and needs a NATS server that it can reach; set config.nats.url instead of embedded.enabled" -}}
{{- end -}}
{{- if not (hasKey .Values.files "archive.keyFile") -}}
{{- fail "files: archive.keyFile must name a Secret with the private key of the archive, which `backhaul archive keygen` makes" -}}
{{- end -}}
{{- if not (dig "archive" "location" "" .Values.config) -}}
{{- if ne (.Values.archive.replicas | int) 1 -}}
{{- fail "archive.replicas: one process writes to the volume, so it must be 1; more replicas need a bucket, config.archive.location" -}}
{{- end -}}
{{- else -}}
{{- if not (dig "archive" "s3Endpoint" "" .Values.config) -}}
{{- fail "config.archive.s3Endpoint: the archive is in a bucket; name the S3 API of it" -}}
{{- end -}}
{{- if not (and (hasKey .Values.files "archive.s3AccessKeyFile") (hasKey .Values.files "archive.s3SecretKeyFile")) -}}
{{- fail "files: the archive is in a bucket; archive.s3AccessKeyFile and archive.s3SecretKeyFile must name a Secret with the key" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
