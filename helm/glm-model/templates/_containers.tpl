{{/* What all containers have, and the steps that bring the model before Ray starts. */}}

{{- define "glm-model.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* A dict of root and writable. */}}
{{- define "glm-model.container" -}}
image: {{ include "glm-model.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  {{- include "glm-model.securityContext" .root | nindent 2 }}
volumeMounts:
  {{- include "glm-model.mounts" . | nindent 2 }}
{{- end }}

{{/* HOME: Ray and torch write below it, and the image's own is read-only. */}}
{{- define "glm-model.env" }}
- {name: HOME, value: /tmp}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* A dict of root and, for the head of a RayService with Redis, emptying. */}}
{{- define "glm-model.initContainers" -}}
{{- $model := .root.Values.model }}
{{- $name := quote $model.name }}
{{- if eq $model.source "hub" }}
{{- $pulled := printf "\"%s@%s\", --name, %s" $model.hub.repository $model.hub.revision $name }}
{{ include "glm-model.step" (dict "root" .root "emptying" .emptying "does" "pull" "with" $pulled "env" (include "glm-model.hubEnv" .root)) }}
{{- end }}
{{- if ne $model.source "box" }}
{{ include "glm-model.step" (dict "root" .root "emptying" .emptying "does" "verify" "with" $name "env" "") }}
{{- end }}
{{- end }}

{{/* `glm-serve models` before Ray starts; a dict of root, emptying, what it does with which
     arguments, and env. Who pulls writes. */}}
{{- define "glm-model.step" -}}
- name: {{ .does }}
  {{- include "glm-model.container" (dict "root" .root "writable" (eq .does "pull")) | nindent 2 }}
  {{- if .emptying }}
  {{- include "glm-model.unlessEmptying" .does | nindent 2 }}
  {{- end }}
  args: [models, {{ .does }}, {{ .with }}, --config, /etc/glm-serve/config.yaml]
  env:
    {{- print .env (include "glm-model.env" .root) | trim | nindent 4 }}
    {{- if .emptying }}
    {{- include "glm-model.nodeType" . | nindent 4 }}
    {{- end }}
  resources: {requests: {cpu: 100m, memory: 512Mi}, limits: {memory: 2Gi}}
{{- end }}

{{/* KubeRay makes the Job that empties Redis of the head's very pod, and gives it five minutes. */}}
{{- define "glm-model.unlessEmptying" -}}
command: [bash, -c, '[ "$KUBERAY_NODE_TYPE" = redis-cleanup ] || exec glm-serve "$@"', {{ . }}]
{{- end }}

{{- define "glm-model.nodeType" -}}
- name: KUBERAY_NODE_TYPE
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['ray.io/node-type']"}}
{{- end }}

{{- define "glm-model.hubEnv" }}
{{- with .Values.model.hub.endpoint }}
- {name: HF_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- with .Values.model.hub.tokenSecret }}
{{- if .name }}
- name: HF_TOKEN
  valueFrom: {secretKeyRef: {name: {{ .name | quote }}, key: {{ .key | quote }}}}
{{- end }}
{{- end }}
{{- end }}

{{/* Resources with the GPUs of one replica; a dict of root, resources and gpus. */}}
{{- define "glm-model.resources" -}}
{{- $resources := deepCopy .resources }}
{{- if .gpus }}
{{- $limits := merge (dict .root.Values.gpuResource (int .gpus)) ($resources.limits | default dict) }}
{{- $_ := set $resources "limits" $limits }}
{{- end }}
{{- toYaml $resources }}
{{- end }}

{{/* Seconds after which /ready itself says no. */}}
{{- define "glm-model.readyDeadline" -}}
{{- $server := .Values.config.server | default dict }}
{{- $server.ready_deadline_s | default 5 | ceil | int }}
{{- end }}

{{/* Seconds that kubelet waits for an answer. */}}
{{- define "glm-model.readyTimeout" -}}
{{- add 1 (include "glm-model.readyDeadline" .) }}
{{- end }}

{{/* Ready is a real generation. Liveness never is: a busy or loading model is alive. A dict of
     root, and for a worker of KubeRay `leaves`, the path that is red as soon as its HAProxy is to
     leave the node. A start-up's looks are no closer than a look may take: those that hang would come
     one after the other, and their number stand for a longer time. */}}
{{- define "glm-model.readyProbes" -}}
{{- $period := include "glm-model.readyDeadline" .root | int | max 5 -}}
startupProbe:
  httpGet: {path: /ready, port: serve}
  periodSeconds: {{ $period }}
  timeoutSeconds: {{ include "glm-model.readyTimeout" .root }}
  failureThreshold: {{ divf (include "glm-model.startup" .root) $period | ceil }}
readinessProbe:
  httpGet: {path: {{ .leaves | default "/ready" }}, port: serve}
  periodSeconds: 5
  timeoutSeconds: {{ include "glm-model.readyTimeout" .root }}
  failureThreshold: 2
{{- end }}

{{/* A plain worker answers for its own HAProxy and for the model. Without a replica it is not ready,
     and alive. */}}
{{- define "glm-model.workerProbe" -}}
readinessProbe:
  httpGet: {path: /, port: readiness}
  periodSeconds: 3
  timeoutSeconds: {{ include "glm-model.readyTimeout" . }}
  failureThreshold: 2
{{- end }}

{{/* The pod is told late that it leaves: first the cluster sends it nothing new. */}}
{{- define "glm-model.notice" -}}
preStop: {exec: {command: [sleep, {{ .Values.drain.notice | quote }}]}}
{{- end }}

{{/* A head alone serves on until the pod that follows it is ready: whoever deleted or drained it, no
     request is without a pod. */}}
{{- define "glm-model.handover" -}}
preStop:
  exec:
    command: [glm-serve, handover, {{ include "glm-model.name" . }}-head, --notice, {{ .Values.drain.notice | quote }}, --limit, {{ include "glm-model.startup" . | quote }}]
{{- end }}
