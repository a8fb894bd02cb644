{{/* RayService: KubeRay starts Ray in the pods and hands the application to Serve. */}}

{{- define "glm-model.serveConfig" -}}
{{- $application := dict "name" "glm" "route_prefix" "/" "import_path" "serve_app.app:configured" "args" (dict "config" "/etc/glm-serve/config.yaml") }}
{{- toYaml (dict "proxy_location" "EveryNode" "http_options" (dict "host" "0.0.0.0" "port" 8000) "applications" (list $application)) }}
{{- end }}

{{/* Token streams never touch it; by default it takes a third of the memory, and of /tmp what does not
     fit into /dev/shm. */}}
{{- define "glm-model.objectStore" -}}
object-store-memory: "104857600"
{{- end }}

{{- define "glm-model.chainEnv" }}
{{- range $name, $value := include "glm-model.chain" . | fromYaml }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{/* KubeRay asks that the head be ready before it deploys the application, so the head's probes are
     KubeRay's own. */}}
{{- define "glm-model.rayHead" -}}
{{- if not (include "glm-model.grows" .) }}
{{ include "glm-model.powerless" . }}
{{- end }}
terminationGracePeriodSeconds: {{ include "glm-model.lastGrace" . }}
{{ include "glm-model.podSpec" (dict "root" . "group" .Values.head "emptying" .Values.ray.redis.address) }}
containers:
  - name: ray-head
    {{- include "glm-model.container" (dict "root" . "writable" false) | nindent 4 }}
    env:
      {{- print (include "glm-model.chainEnv" .) (include "glm-model.env" .) | trim | nindent 6 }}
    # Named all: a head with some ports named gets no others in its service.
    ports:
      - {name: gcs-server, containerPort: 6379}
      - {name: dashboard, containerPort: 8265}
      - {name: client, containerPort: 10001}
      - {name: serve, containerPort: 8000}
    resources:
      {{- toYaml .Values.head.resources | nindent 6 }}
    # KubeRay tells all pods of a cluster to leave at once; without their head, workers cannot finish.
    lifecycle:
      preStop: {exec: {command: [glm-serve, outlast, --limit, {{ include "glm-model.grace" . | quote }}]}}
{{- end }}

{{/* A minute beyond the workers'. */}}
{{- define "glm-model.lastGrace" -}}
{{ add (include "glm-model.grace" .) 60 }}
{{- end }}

{{- define "glm-model.rayWorker" -}}
{{- include "glm-model.powerless" . }}
terminationGracePeriodSeconds: {{ include "glm-model.grace" . }}
{{ include "glm-model.podSpec" (dict "root" . "group" .Values.workers) }}
topologySpreadConstraints:
  {{- include "glm-model.spread" . | trim | nindent 2 }}
containers:
  - name: ray-worker
    {{- include "glm-model.container" (dict "root" . "writable" false) | nindent 4 }}
    env:
      {{- print (include "glm-model.chainEnv" .) (include "glm-model.env" .) | trim | nindent 6 }}
    ports:
      - {name: serve, containerPort: 8000}
    resources:
      {{- include "glm-model.resources" (dict "root" . "resources" .Values.workers.resources "gpus" .Values.replicas.gpus) | nindent 6 }}
    {{- include "glm-model.readyProbes" (dict "root" . "leaves" "/-/healthz") | nindent 4 }}
    lifecycle:
      {{- include "glm-model.rayDrain" . | trim | nindent 6 }}
{{- end }}

{{/* KubeRay's worker does not drain at SIGTERM: Ray is told first and moves what it holds; the pod
     lives until the longest stream is over, or Ray ends itself earlier. */}}
{{- define "glm-model.rayDrain" -}}
{{- $wait := add (include "glm-model.longestStream" .) 40 }}
preStop:
  exec:
    command:
      - bash
      - -c
      - sleep {{ .Values.drain.notice }};
        ray drain-node --address "$RAY_ADDRESS" --reason DRAIN_NODE_REASON_PREEMPTION
        --reason-message "the pod leaves" --deadline-remaining-seconds {{ $wait }};
        sleep {{ $wait }}
{{- end }}

{{- define "glm-model.redisOptions" -}}
{{- with .Values.ray.redis }}
{{- if .address }}
gcsFaultToleranceOptions:
  redisAddress: {{ .address | quote }}
  {{- if .passwordSecret.name }}
  redisPassword:
    valueFrom: {secretKeyRef: {name: {{ .passwordSecret.name | quote }}, key: {{ .passwordSecret.key | quote }}}}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Once the last head has gone, a Job empties the store. By default KubeRay does without five minutes
     after the version was told to go, when its longest streams may still be under way. */}}
{{- define "glm-model.patience" -}}
{{- if .Values.ray.redis.address }}
ray.io/gcs-ft-deletion-timeout: {{ add (include "glm-model.lastGrace" . | trim) 300 | quote }}
{{- end }}
{{- end }}

{{- define "glm-model.autoscaler" -}}
{{- if include "glm-model.grows" . }}
enableInTreeAutoscaling: true
autoscalerOptions:
  version: v2
  idleTimeoutSeconds: {{ .Values.autoscaling.idleTimeout }}
  resources: {requests: {cpu: 200m, memory: 512Mi}, limits: {memory: 1Gi}}
  securityContext:
    {{- include "glm-model.securityContext" . | nindent 4 }}
  volumeMounts: [{name: tmp, mountPath: /tmp}]
{{- end }}
{{- end }}
