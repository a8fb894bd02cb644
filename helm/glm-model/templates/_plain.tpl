{{/* Plain workloads: the pods of both Deployments, whole in themselves. */}}

{{- define "glm-model.headSpec" -}}
{{- $alone := not .Values.workers.enabled }}
{{- include "glm-model.powerless" . }}
terminationGracePeriodSeconds: {{ include "glm-model.headGrace" . }}
{{ include "glm-model.podSpec" (dict "root" . "group" .Values.head) }}
containers:
  - name: ray
    {{- include "glm-model.container" (dict "root" . "writable" false) | nindent 4 }}
    {{- /* Beside workers the head leads and holds no replica. */}}
    args: [head, --config, /etc/glm-serve/config.yaml{{ if not $alone }}, --cpus, "0"{{ end }}]
    env:
      {{- include "glm-model.headEnv" . | trim | nindent 6 }}
    ports:
      - {name: serve, containerPort: 8000}
      - {name: gcs, containerPort: 6379}
    resources:
      {{- include "glm-model.resources" (dict "root" . "resources" .Values.head.resources "gpus" (ternary .Values.replicas.gpus 0 $alone)) | nindent 6 }}
    {{- include "glm-model.readyProbes" (dict "root" .) | nindent 4 }}
    # Alive is a control store that listens.
    livenessProbe: {tcpSocket: {port: gcs}, periodSeconds: 10, failureThreshold: 6}
    lifecycle:
      {{- include (ternary "glm-model.handover" "glm-model.notice" $alone) . | nindent 6 }}
{{- end }}

{{/* The worker's process ends with its raylet: that is all there is to its liveness. A dict of root
     and head, the address. */}}
{{- define "glm-model.workerSpec" -}}
{{- $root := .root }}
{{- include "glm-model.powerless" $root }}
terminationGracePeriodSeconds: {{ include "glm-model.grace" $root }}
{{ include "glm-model.podSpec" (dict "root" $root "group" $root.Values.workers) }}
topologySpreadConstraints:
  {{- include "glm-model.spread" $root | trim | nindent 2 }}
containers:
  - name: ray
    {{- include "glm-model.container" (dict "root" $root "writable" false) | nindent 4 }}
    args: [worker, "{{ .head }}:6379", --config, /etc/glm-serve/config.yaml]
    env:
      {{- print (include "glm-model.rayEnv" $root) (include "glm-model.env" $root) | trim | nindent 6 }}
    ports:
      - {name: serve, containerPort: 8000}
      - {name: readiness, containerPort: 8001}
    resources:
      {{- include "glm-model.resources" (dict "root" $root "resources" $root.Values.workers.resources "gpus" $root.Values.replicas.gpus) | nindent 6 }}
    {{- include "glm-model.workerProbe" $root | nindent 4 }}
    lifecycle:
      {{- include "glm-model.notice" $root | nindent 6 }}
{{- end }}

{{- define "glm-model.headEnv" }}
{{- include "glm-model.rayEnv" . }}
{{- include "glm-model.redisEnv" . }}
{{- include "glm-model.env" . }}
{{- end }}

{{- define "glm-model.rayEnv" }}
- name: RAY_AUTH_TOKEN
  {{- if .Values.ray.authSecret }}
  valueFrom: {secretKeyRef: {name: {{ .Values.ray.authSecret | quote }}, key: auth_token}}
  {{- else }}
  # A head alone shares it with nobody: any number that others do not know will do.
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
  {{- end }}
{{- if .Values.ray.redis.address }}
# A lost head may take ten minutes to come back to its workers, a minute by default.
- {name: RAY_gcs_rpc_server_reconnect_timeout_s, value: "600"}
{{- end }}
{{- end }}

{{- define "glm-model.redisEnv" }}
{{- with .Values.ray.redis }}
{{- if .address }}
- {name: RAY_REDIS_ADDRESS, value: {{ .address | quote }}}
- name: RAY_external_storage_namespace
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['glm-serve.io/generation']"}}
{{- if .passwordSecret.name }}
- name: REDIS_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ .passwordSecret.name | quote }}, key: {{ .passwordSecret.key | quote }}}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* One generation is one content of both pods. Heads are named after it, so that during an upgrade
     new workers find the new head and old ones the old. */}}
{{- define "glm-model.generation" -}}
{{- $head := include "glm-model.headSpec" . }}
{{- $worker := include "glm-model.workerSpec" (dict "root" . "head" "") }}
{{- $told := include "glm-model.podMetadata" (dict "root" . "component" "" "group" .Values.head) }}
{{- $toldWorker := include "glm-model.podMetadata" (dict "root" . "component" "" "group" .Values.workers) }}
{{- printf "g%s" (print $head $worker $told $toldWorker | sha256sum | trunc 10) }}
{{- end }}

{{/* A dict of root, component and group. */}}
{{- define "glm-model.plainMetadata" -}}
labels:
  glm-serve.io/generation: {{ include "glm-model.generation" .root }}
{{- include "glm-model.podMetadata" . | trimPrefix "labels:" }}
{{- end }}
