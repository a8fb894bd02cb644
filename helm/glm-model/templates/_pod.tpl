{{/* What head and workers have in common, in both ways; a dict of root, group (.Values.head or
     .Values.workers) and, where the steps before Ray have to know, emptying. */}}

{{- define "glm-model.podSpec" -}}
{{- $values := .root.Values }}
{{- include "glm-model.anyPod" .root }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $values.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with .group.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .group.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .group.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "glm-model.initContainers" . | trim }}
initContainers:
  {{- . | nindent 2 }}
{{- end }}
volumes:
  {{- include "glm-model.volumes" .root | nindent 2 }}
{{- end }}

{{/* What every pod has, that of `helm test` too. */}}
{{- define "glm-model.anyPod" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{/* A pod without any right at the API. */}}
{{- define "glm-model.powerless" -}}
serviceAccountName: {{ include "glm-model.serviceAccount" . | quote }}
automountServiceAccountToken: false
{{- end }}

{{/* A dict of root, component and group. */}}
{{- define "glm-model.podMetadata" -}}
labels:
  {{- include "glm-model.podLabels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
annotations:
  glm-serve.io/config: |
    {{- include "glm-model.settings" .root | nindent 4 }}
  {{- /* The head tells the numbers of all replicas. */}}
  {{- $scraped := dict "prometheus.io/scrape" "true" "prometheus.io/port" "8000" "prometheus.io/path" "/metrics" }}
  {{- with mergeOverwrite (ternary $scraped (dict) (eq .component "head")) .root.Values.extraAnnotations .group.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "glm-model.spread" }}
{{- range .Values.workers.spreadOver }}
- topologyKey: {{ . | quote }}
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  # During an upgrade the new pods are spread among themselves: the old ones will go.
  matchLabelKeys: [{{ ternary "ray.io/cluster" "glm-serve.io/generation" (eq (include "glm-model.workloads" $) "rayservice") }}]
  labelSelector:
    matchLabels:
      {{- include "glm-model.selector" $ | nindent 6 }}
      app.kubernetes.io/component: worker
{{- end }}
{{- end }}
