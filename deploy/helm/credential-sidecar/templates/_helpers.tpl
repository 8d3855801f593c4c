{{/* Names are the same whatever the release is called: there is one injector in a cluster, and an upgrade renames nothing. */}}
{{- define "injector.name" -}}
credential-sidecar-injector
{{- end -}}

{{/* What selects the injector's pods. A Deployment's selector can never be changed: no version, nothing of the user's. */}}
{{- define "injector.selector" -}}
app.kubernetes.io/name: credential-sidecar
app.kubernetes.io/component: injector
{{- end -}}

{{/* (root, name, labels, annotations): the metadata of an object; without a namespace where `cluster` is said. */}}
{{- define "injector.metadata" -}}
{{- $root := .root -}}
name: {{ .name | default (include "injector.name" $root) }}
{{- if not .cluster }}
namespace: {{ $root.Release.Namespace }}
{{- end }}
labels:
  {{- include "injector.selector" $root | nindent 2 }}
  app.kubernetes.io/instance: {{ $root.Release.Name }}
  app.kubernetes.io/managed-by: {{ $root.Release.Service }}
  app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
  helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
  {{- with merge (dict) (.labels | default dict) $root.Values.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) $root.Values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "injector.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The Secret with tls.crt and tls.key. */}}
{{- define "injector.secret" -}}
{{- with .Values.certificates -}}
{{- if eq .mode "certManager" -}}
{{ include "injector.name" $ }}-tls
{{- else if and .secretName .caBundle -}}
{{ .secretName }}
{{- else -}}
{{ fail "certificates.mode is secret: say certificates.secretName, a Secret with tls.crt and tls.key, and who signed it (--set-file certificates.caBundle=ca.crt)" }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* (ours, said): a label selector of our expressions and of the user's, all of which must be true. */}}
{{- define "injector.selecting" -}}
{{- with .said.matchLabels -}}
matchLabels:
  {{- toYaml . | nindent 2 }}
{{ end -}}
matchExpressions:
  {{- concat .ours (.said.matchExpressions | default list) | toYaml | nindent 2 }}
{{- end -}}
