{{/* Volumes of every pod, and where they are mounted. The root file system is read-only. */}}

{{- define "glm-model.volumes" -}}
{{/* The settings travel in the pod template itself: an older template brings back its own. */ -}}
- name: settings
  projected:
    sources:
      - downwardAPI:
          items:
            - path: config.yaml
              fieldRef: {fieldPath: "metadata.annotations['glm-serve.io/config']"}
      {{- with .Values.model.publicKey }}
      {{- if .name }}
      - configMap:
          name: {{ .name | quote }}
          items: [{key: {{ .key | quote }}, path: {{ .key | quote }}}]
      {{- end }}
      {{- end }}
- name: tmp
  emptyDir: {sizeLimit: {{ .Values.temporary }}}
- name: shared-memory
  emptyDir: {medium: Memory, sizeLimit: {{ .Values.sharedMemory }}}
{{- if ne .Values.model.source "box" }}
- name: models
  {{- include "glm-model.models" . | nindent 2 }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "glm-model.models" -}}
{{- $cache := .Values.cache }}
{{- if eq .Values.model.source "volume" -}}
persistentVolumeClaim: {claimName: {{ .Values.model.volume.claim | quote }}, readOnly: true}
{{- else if eq $cache.type "claim" -}}
persistentVolumeClaim: {claimName: {{ $cache.claim | quote }}}
{{- else if eq $cache.type "hostPath" -}}
hostPath: {path: {{ $cache.hostPath | quote }}, type: Directory}
{{- else -}}
emptyDir: {sizeLimit: {{ $cache.sizeLimit }}}
{{- end }}
{{- end }}

{{/* A dict of root and writable: only the step that pulls may write weights. */}}
{{- define "glm-model.mounts" -}}
- {name: settings, mountPath: /etc/glm-serve, readOnly: true}
- {name: tmp, mountPath: /tmp}
- {name: shared-memory, mountPath: /dev/shm}
{{- if ne .root.Values.model.source "box" }}
- name: models
  mountPath: /models
  readOnly: {{ not .writable }}
  {{- with .root.Values.model.volume.subPath }}
  subPath: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with .root.Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}
