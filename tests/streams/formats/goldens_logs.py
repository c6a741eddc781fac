"""Log lines, events and mixed metrics as shippers, daemons and Alertmanager write them."""

from tests.streams.formats.contract import NEST, Golden, absurd

NOW = 1_767_323_045_678
ACCESS = '53.126.150.246 - - [01/Oct/2020:11:25:58 -0400] "GET /disintermediate HTTP/2.0" 401 20308'

VECTOR_LOG = (
    b'{"file":"/var/log/apache/access.log","host":"my-host.local","message":"53.126.150.246 - - '
    b'[01/Oct/2020:11:25:58 -0400] \\"GET /disintermediate HTTP/2.0\\" 401 20308","source_type":'
    b'"file","timestamp":"2020-10-10T17:07:36.452332Z"}'
)
VECTOR_COUNTER = (
    b'{"name":"foos","namespace":"vector","tags":{"Key3":"Value3","key1":"value1","key2":"value2"},'
    b'"timestamp":"2018-11-14T08:09:10.000000011Z","kind":"incremental","counter":{"value":100.0}}'
)
KEYS = 'Key3="Value3",key1="value1",key2="value2",service="shop"'
VECTOR_DISTRIBUTION = (
    b'{"name":"glork","kind":"incremental","distribution":{"samples":[{"value":10.0,"rate":1},'
    b'{"value":20.0,"rate":3}],"statistic":"histogram"}}'
)
VECTOR_NATIVE = (
    b'{"metric":{"name":"rt","tags":{"app":["a",null,"b"]},"kind":"absolute","timestamp":'
    b'"2026-01-02T03:04:05Z","aggregated_histogram":{"buckets":[{"upper_limit":1.0,"count":3},'
    b'{"upper_limit":null,"count":1}],"count":4,"sum":5.5}}}\n'
    b'{"log":{"message":"hello","app":"b","level":"warn","timestamp":"2026-01-02T03:04:05Z"}}\n'
    b'{"name":"users","tags":{"app":"b"},"kind":"incremental","set":{"values":["x","y"]}}\n'
    b'{"name":"gc","tags":{"app":"b"},"kind":"absolute","aggregated_summary":{"quantiles":['
    b'{"quantile":0.5,"value":2.0}],"count":7,"sum":9.0}}\n'
    b'{"name":"load","tags":{"app":"b"},"kind":"incremental","gauge":{"value":-2.0}}\n'
    b'{"name":"sk","tags":{"app":"b"},"kind":"absolute","sketch":{"AgentDDSketch":{}}}'
)
B = 'app="b",service="b"'
LE = 'app="b",le="{}",service="b"'
HALF = 'app="b",quantile="0.5",service="b"'
SECOND = 1_767_323_045_000

FLUENT = b'{"@timestamp":1700000000.123456,"message":"hello from out_kafka","source":"dummy"}'
FLUENT_POD = (
    b'{"@timestamp":1572026149.0,"log":"\\tdelegation.token.master.key = null\\n","stream":'
    b'"stdout","time":"2019-10-24T20:17:57.091027Z","kubernetes":{"pod_name":"my-cluster-kafka-0",'
    b'"namespace_name":"kafka","labels":{"app":"kafka","app.kubernetes.io/part-of":"strimzi"}}}'
)
GELF = (
    b'{"version":"1.1","short_message":"payment refused","host":"web1","timestamp":1700000000.123,'
    b'"level":3,"_app":"shop","_stream":"stderr"}'
)
FILEBEAT = (
    b'{"@timestamp":"2023-04-11T22:11:50.656Z","@metadata":{"beat":"filebeat","type":"_doc",'
    b'"version":"7.17.9"},"log":{"offset":0,"file":{"path":"/var/log/nginx/access.log"}},"message":'
    b'"10.89.2.6 - - [11/Apr/2023:22:11:41 +0000] \\"GET / HTTP/1.0\\" 200 615","tags":['
    b'"nginx-access"],"input":{"type":"filestream"},"ecs":{"version":"1.12.0"},"host":{"name":'
    b'"053dd9dc5419"},"agent":{"name":"053dd9dc5419","type":"filebeat","version":"7.17.9"}}'
)
METRICBEAT = (
    b'{"@timestamp":"2025-12-28T04:56:17.004Z","@metadata":{"beat":"metricbeat"},"metricset":{'
    b'"name":"cpu","period":10000},"event":{"dataset":"system.cpu","module":"system","duration":'
    b'861459},"service":{"type":"system"},"system":{"cpu":{"total":{"pct":1.2299,"norm":{"pct":'
    b'0.123}},"cores":10}},"host":{"name":"h1"}}'
)
H1 = '{host.name="h1",metricset.name="cpu",service="h1"}'
BEAT_AT = 1_766_897_777_004
LOGSTASH = (
    b'{"@timestamp":"2026-01-02T03:04:05.678Z","@version":"1","message":"boom","logger_name":'
    b'"com.shop.Pay","thread_name":"main","level":"ERROR","level_value":40000,"app":"pay",'
    b'"stack_trace":"java.lang.X: boom\\n\\tat Y"}'
)

RSYSLOG = (
    b"2024-01-15T10:30:00.123456+00:00 web01 sshd[1234]: Failed password for root from 10.0.0.5"
    b" port 22 ssh2\n"
)
RSYSLOG_JSON = (
    b'{"message":" Failed password for root from 10.0.0.5 port 22 ssh2","fromhost":"web01",'
    b'"facility":"auth","priority":"info","timereported":"2024-01-15T10:30:00.123456+00:00",'
    b'"timegenerated":"2024-01-15T10:30:00.123460+00:00"}'
)
RSYSLOG_FULL = RSYSLOG_JSON[:-1] + b',"programname":"sshd","procid":"1234","msgid":"-"}'
# From rsyslog 8.2302: %jsonmesg%, and a list template as its documents show for Elasticsearch
RSYSLOG_WHOLE = (
    b'{ "msg": " Failed password for root from 10.0.0.5 port 22 ssh2", "rawmsg": "<38>Jan 15'
    b' 10:30:00 web01 sshd[1234]: Failed password for root from 10.0.0.5 port 22 ssh2",'
    b' "timereported": "2024-01-15T10:30:00.123456+00:00", "hostname": "web01", "syslogtag":'
    b' "sshd[1234]:", "inputname": "imptcp", "fromhost": "localhost", "fromhost-ip": "127.0.0.1",'
    b' "pri": "38", "syslogfacility": "4", "syslogseverity": "6", "timegenerated":'
    b' "2024-01-15T10:30:00.223456+00:00", "programname": "sshd", "protocol-version": "0",'
    b' "structured-data": "-", "app-name": "sshd", "procid": "1234", "msgid": "-", "uuid": null,'
    b' "$!": null }'
)
RSYSLOG_LIST = (
    b'{"@timestamp":"2024-01-15T10:30:00.123456+00:00", "host":"web01", "severity":"ERR",'
    b' "facility":"auth", "syslog-tag":"sshd[1234]:",'
    b' "message":" Failed password for root from 10.0.0.5 port 22 ssh2"}\n'
)
RSYSLOG_NEW = (  # what came to it as RFC 5424
    b"2024-01-15T10:30:00.123456+00:00 web01 sshd[1234] Failed password for root from 10.0.0.5"
    b" port 22 ssh2\n"
)
SYSLOG_AT = 1_705_314_600_123
FAILED = "Failed password for root from 10.0.0.5 port 22 ssh2"
SYSLOG_NG = (
    b'{"TAGS":".source.s_src","SOURCEIP":"127.0.0.1","SEQNUM":"3341","PROGRAM":"sshd","PRIORITY":'
    b'"info","PID":"23233","MESSAGE":"Failed password for root from 218.92.0.190 port 34979 ssh2",'
    b'"LEGACY_MSGHDR":"sshd[23233]: ","HOST_FROM":"dev-2","HOST":"dev-2","FACILITY":"auth","DATE":'
    b'"Apr  3 03:00:46"}'
)
APRIL = 1_775_185_246_000  # 2026-04-03T03:00:46Z
RFC_5424 = (
    b"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="
    b'"3" eventSource="Appli\\"cation"] \xef\xbb\xbfAn application event log entry...'
)
RFC_3164 = b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick\n  on /dev/pts/8\n"
OCTOBER = 1_760_220_855_000  # 2025-10-11T22:14:15Z: nearest to the second of January 2026
CRI = (
    b"2016-10-06T00:17:09.669794202Z stdout P log content part 1, \n"
    b"2016-10-06T00:17:09.669794203Z stderr F ERROR other\n"
    b"2016-10-06T00:17:10.113242941Z stdout F log content part 2\n"
    b"2016-10-06T00:17:10.113242942Z stdout F \n"
)
CRI_AT = 1_475_713_029_669

WEBHOOK = (
    b'{"receiver":"kafka","status":"firing","alerts":[{"status":"firing","labels":{"alertname":'
    b'"HighLatency","job":"checkout","severity":"critical"},"annotations":{"summary":'
    b'"p99 over 2 s"},"startsAt":"2026-01-02T03:04:00Z","endsAt":"0001-01-01T00:00:00Z",'
    b'"generatorURL":"http://p/graph","fingerprint":"1a"},{"status":"resolved","labels":{'
    b'"alertname":"Slow","job":"cart"},"annotations":{},"startsAt":"2026-01-02T02:00:00Z",'
    b'"endsAt":"2026-01-02T03:04:05Z","fingerprint":"2b"}],"groupLabels":{},"commonLabels":{'
    b'"region":"eu"},"commonAnnotations":{},"externalURL":"http://a","version":"4","groupKey":'
    b'"{}:{}","truncatedAlerts":0}'
)
RECORDED = (
    b'{"@timestamp":"2023-11-14T22:13:20Z","instance":"test-host","data":{"alertmanagerStartupEvent"'
    b':{"version":"v-test","buildContext":"test-build"}}}'
)
CREATED = (
    b'{"@timestamp":"2023-11-14T22:13:20Z","instance":"am-0","data":{"alertCreated":{"alert":{'
    b'"fingerprint":"1234","name":"HighMem","labels":{"labels":[{"key":"alertname","value":'
    b'"HighMem"},{"key":"job","value":"cart"}]},"startsAt":"2023-11-14T22:13:19Z"}}}}'
)
RECORDED_AT = 1_700_000_000_000
ALERTS = (
    b'{"hash":"7","details":{"name":"Slow","labels":{"labels":[{"key":"alertname","value":"Slow"},'
    b'{"key":"job","value":"cart"},{"key":"severity","value":"critical"},{"key":"pod","value":"%d"}'
    b"]}}}"
)
WATCHDOG = b'{"labels":{"labels":[{"key":"alertname","value":"Watchdog"}]},"fingerprint":"9"}'
# One event a line, as messages of eventrecorder.proto in protobuf's JSON
EVENTS = b"\n".join(
    b'{"@timestamp":"2023-11-14T22:13:20Z","instance":"am-1","clusterPosition":1,"data":'
    + data
    + b"}"
    for data in (
        b'{"alertResolved":{"alert":' + ALERTS % 1 + b',"groupInfo":{"groupKey":"{}"}}}',
        b'{"notification":{"alerts":[' + ALERTS % 1 + b"," + ALERTS % 2 + b'],"flushId":"3"}}',
        b'{"inhibitionMutedAlert":{"mutedAlert":' + WATCHDOG + b"}}",
        b'{"silenceCreated":{"silence":{"id":"5","comment":"database moves","createdBy":"dba"}}}',
        b'{"alertCreated":{"alert":{"labels":{"labels":7}}}}',
    )
)
ROBUSTA = (
    b'{"cluster_name":"c","resource_name":"web","resource_namespace":"default","resource_type":'
    b'"Deployment","message":"Deployment properties change","changed_properties":[{"property":'
    b'"spec.replicas","old":1,"new":2}]}'
)


LOGS = [
    Golden(
        "vector",
        VECTOR_LOG,
        stranger=b"{}",
        lines=(
            (
                "my-host.local",
                1_602_349_656_452,
                "",
                ACCESS,
                '{file="/var/log/apache/access.log",host="my-host.local",source_type="file"}',
            ),
        ),
        absurd=absurd(VECTOR_LOG, b'"2020-10-10T17:07:36.452332Z"'),
        deep=VECTOR_LOG.replace(b'"file",', NEST + b","),
    ),
    Golden(
        "vector",
        VECTOR_COUNTER,
        samples=((f"vector_foos_total{{{KEYS}}}", 1_542_182_950_000, 100.0),),
        service="shop",
    ),
    Golden(
        "vector",
        VECTOR_DISTRIBUTION,
        samples=(
            ('glork_sum{service="shop"}', NOW, 70.0),
            ('glork_count{service="shop"}', NOW, 4.0),
            ('glork_p50{service="shop"}', NOW, 20.0),
            ('glork_p95{service="shop"}', NOW, 20.0),
            ('glork_p99{service="shop"}', NOW, 20.0),
        ),
        service="shop",
    ),
    Golden(
        "vector",
        VECTOR_NATIVE,
        stranger=b"{}",
        cuts=684,
        samples=(
            (f"rt_bucket{{{LE.format('1')}}}", SECOND, 3.0),
            (f"rt_bucket{{{LE.format('+Inf')}}}", SECOND, 4.0),
            (f"rt_sum{{{B}}}", SECOND, 5.5),
            (f"rt_count{{{B}}}", SECOND, 4.0),
            (f"users{{{B}}}", NOW, 2.0),
            (f"gc{{{HALF}}}", NOW, 2.0),
            (f"gc_count{{{B}}}", NOW, 7.0),
            (f"gc_sum{{{B}}}", NOW, 9.0),
            (f"load{{{B}}}", NOW, -2.0),
        ),
        lines=(("b", SECOND, "warning", "hello", '{app="b"}'),),
        skips={"sketch": 1},
    ),
    Golden(
        "fluentbit",
        FLUENT,
        stranger=b"{}",
        lines=(("shop", 1_700_000_000_123, "", "hello from out_kafka", '{source="dummy"}'),),
        service="shop",
        absurd=absurd(FLUENT, b"1700000000.123456"),
        deep=FLUENT.replace(b'"dummy"', NEST),
    ),
    Golden(
        "fluentbit",
        FLUENT_POD,
        lines=(
            (
                "kafka",
                1_572_026_149_000,
                "",
                "\tdelegation.token.master.key = null",
                (
                    '{kubernetes.labels.app="kafka",kubernetes.labels.app.kubernetes.io_part_of='
                    '"strimzi",kubernetes.namespace_name="kafka",kubernetes.pod_name='
                    '"my-cluster-kafka-0",stream="stdout"}'
                ),
            ),
        ),
    ),
    Golden(
        "fluentbit",
        GELF,
        lines=(
            (
                "shop",
                1_700_000_000_123,
                "error",
                "payment refused",
                '{app="shop",host="web1",stream="stderr"}',
            ),
        ),
        absurd=absurd(GELF, b"1700000000.123"),
    ),
    Golden(
        "beats",
        FILEBEAT,
        stranger=b"{}",
        lines=(
            (
                "053dd9dc5419",
                1_681_251_110_656,
                "",
                '10.89.2.6 - - [11/Apr/2023:22:11:41 +0000] "GET / HTTP/1.0" 200 615',
                (
                    '{agent.type="filebeat",host.name="053dd9dc5419",log.file.path='
                    '"/var/log/nginx/access.log"}'
                ),
            ),
        ),
        absurd=absurd(FILEBEAT, b'"2023-04-11T22:11:50.656Z"'),
        deep=FILEBEAT.replace(b'["nginx-access"]', NEST),
    ),
    Golden(
        "beats",
        METRICBEAT,
        stranger=b"{}",
        samples=(
            (f"system.cpu.total.pct{H1}", BEAT_AT, 1.2299),
            (f"system.cpu.total.norm.pct{H1}", BEAT_AT, 0.123),
            (f"system.cpu.cores{H1}", BEAT_AT, 10.0),
        ),
    ),
    Golden(
        "logstash",
        LOGSTASH,
        stranger=b"{}",
        lines=(("pay", NOW, "error", "boom", '{app="pay",logger_name="com.shop.Pay"}'),),
        absurd=absurd(LOGSTASH, b'"2026-01-02T03:04:05.678Z"'),
        deep=LOGSTASH.replace(b"40000", NEST),
    ),
    Golden(
        "rsyslog",
        RSYSLOG,
        cuts=39,
        lines=(("sshd", SYSLOG_AT, "", FAILED, '{app="sshd",host="web01"}'),),
        absurd=absurd(
            RSYSLOG,
            b"2024-01-15T10:30:00.123456+00:00",
            (b"0001-01-15T10:30:00+00:00", b"2024-13-45T10:30:00Z", b"9999-12-31T23:59:59Z"),
        ),
    ),
    Golden(
        "syslog-ng",
        b"2024-01-15T10:30:00+00:00 web01 sshd[1234]: Failed password for root\n",
        cuts=32,
        lines=(
            (
                "sshd",
                1_705_314_600_000,
                "",
                "Failed password for root",
                '{app="sshd",host="web01"}',
            ),
        ),
        absurd=absurd(
            b"2024-01-15T10:30:00+00:00 web01 sshd[1234]: Failed password for root\n",
            b"2024-01-15T10:30:00+00:00",
            (b"1970-01-01T10:30:00+00:00", b"2024-01-32T10:30:00Z", b"9999-12-31T23:59:59Z"),
        ),
    ),
    Golden(
        "rsyslog-json",
        RSYSLOG_JSON,
        stranger=b"{}",
        lines=(("web01", SYSLOG_AT, "info", FAILED, '{facility="auth",host="web01"}'),),
        absurd=absurd(RSYSLOG_JSON, b'"2024-01-15T10:30:00.123456+00:00"'),
        deep=RSYSLOG_JSON.replace(b'"auth"', NEST),
    ),
    Golden(
        "rsyslog-json",
        RSYSLOG_FULL,
        lines=(("sshd", SYSLOG_AT, "info", FAILED, '{app="sshd",facility="auth",host="web01"}'),),
    ),
    Golden(
        "rsyslog-json",
        RSYSLOG_WHOLE,
        lines=(("sshd", SYSLOG_AT, "info", FAILED, '{app="sshd",facility="auth",host="web01"}'),),
    ),
    Golden(
        "rsyslog-json",
        RSYSLOG_LIST,
        cuts=len(RSYSLOG_LIST) - 1,
        lines=(("web01", SYSLOG_AT, "error", FAILED, '{facility="auth",host="web01"}'),),
    ),
    Golden(
        "rsyslog",
        RSYSLOG_NEW,
        cuts=39,
        lines=(("sshd", SYSLOG_AT, "", FAILED, '{app="sshd",host="web01"}'),),
    ),
    Golden(
        "syslog-ng-json",
        SYSLOG_NG,
        stranger=b"{}",
        lines=(
            (
                "sshd",
                APRIL,
                "info",
                "Failed password for root from 218.92.0.190 port 34979 ssh2",
                '{app="sshd",facility="auth",host="dev-2"}',
            ),
        ),
        absurd=absurd(
            SYSLOG_NG, b'"Apr  3 03:00:46"', (b'"Apr 31 03:00:46"', b"7", b"null", b'""')
        ),
        deep=SYSLOG_NG.replace(b'"127.0.0.1"', NEST),
    ),
    Golden(  # with frac-digits(3)
        "syslog-ng-json",
        SYSLOG_NG.replace(b"03:00:46", b"03:00:46.250"),
        lines=(
            (
                "sshd",
                APRIL + 250,
                "info",
                "Failed password for root from 218.92.0.190 port 34979 ssh2",
                '{app="sshd",facility="auth",host="dev-2"}',
            ),
        ),
    ),
    Golden(
        "syslog",
        RFC_5424,
        cuts=127,
        lines=(
            (
                "evntslog",
                1_065_910_455_003,
                "notice",
                "An application event log entry...",
                (
                    r'{app="evntslog",exampleSDID_32473.eventSource="Appli\"cation",'
                    'exampleSDID_32473.iut="3",facility="local4",host="mymachine.example.com",'
                    'msgid="ID47"}'
                ),
            ),
        ),
        absurd=absurd(
            RFC_5424,
            b"2003-10-11T22:14:15.003Z",
            (b"2003-13-11T22:14:15Z", b"0001-01-01T00:00:00Z", b"now", b"7"),
        ),
    ),
    Golden(  # as syslog-ng forwards what it counts itself
        "syslog",
        RFC_5424.replace(b" [exampleSDID@32473", b' [meta sequenceId="7"][exampleSDID@32473'),
        cuts=147,
        lines=(
            (
                "evntslog",
                1_065_910_455_003,
                "notice",
                "An application event log entry...",
                (
                    r'{app="evntslog",exampleSDID_32473.eventSource="Appli\"cation",'
                    'exampleSDID_32473.iut="3",facility="local4",host="mymachine.example.com",'
                    'msgid="ID47"}'
                ),
            ),
        ),
    ),
    Golden(
        "syslog",
        RFC_3164,
        cuts=30,
        lines=(
            (
                "su",
                OCTOBER,
                "critical",
                "'su root' failed for lonvick\n  on /dev/pts/8",
                '{app="su",facility="auth",host="mymachine"}',
            ),
        ),
    ),
    Golden(
        "cri",
        CRI,
        absurd=tuple(
            time + b" stderr F late\n"
            for time in (b"0001-01-15T10:30:00Z", b"2024-13-45T10:30:00Z", b"9999-12-31T23:59:59Z")
        ),
        stranger=b"x",
        cuts=153,
        lines=(
            ("shop", CRI_AT, "error", "ERROR other", '{stream="stderr"}'),
            (
                "shop",
                CRI_AT,
                "",
                "log content part 1, log content part 2",
                '{stream="stdout"}',
            ),
        ),
        skips={"blank": 1},
        service="shop",
    ),
    Golden(
        "alertmanager",
        WEBHOOK,
        lines=(
            (
                "checkout",
                1_767_323_040_000,
                "critical",
                "firing: p99 over 2 s",
                (
                    '{alertname="HighLatency",job="checkout",receiver="kafka",region="eu",'
                    'severity="critical",status="firing"}'
                ),
            ),
            (
                "cart",
                SECOND,
                "info",
                "resolved: Slow",
                '{alertname="Slow",job="cart",receiver="kafka",region="eu",status="resolved"}',
            ),
        ),
        deep=WEBHOOK.replace(b'{"region":"eu"}', NEST),
    ),
    Golden(
        "alertmanager",
        RECORDED,
        lines=(
            (
                "alertmanager",
                RECORDED_AT,
                "",
                "alertmanagerStartupEvent",
                '{event="alertmanagerStartupEvent",instance="test-host"}',
            ),
        ),
        absurd=absurd(RECORDED, b'"2023-11-14T22:13:20Z"'),
    ),
    Golden(
        "alertmanager",
        CREATED,
        lines=(
            (
                "cart",
                RECORDED_AT,
                "",
                "alertCreated HighMem",
                '{alertname="HighMem",event="alertCreated",instance="am-0",job="cart"}',
            ),
        ),
    ),
    Golden(
        "alertmanager",
        EVENTS,
        lines=(
            (
                "cart",
                RECORDED_AT,
                "critical",
                "alertResolved Slow",
                (
                    '{alertname="Slow",event="alertResolved",instance="am-1",job="cart",pod="1",'
                    'severity="critical"}'
                ),
            ),
            (
                "cart",
                RECORDED_AT,
                "critical",
                "notification Slow",
                (
                    '{alertname="Slow",event="notification",instance="am-1",job="cart",'
                    'severity="critical"}'
                ),
            ),
            *(
                ("alertmanager", RECORDED_AT, "", text, labels)
                for text, labels in (
                    (
                        "inhibitionMutedAlert Watchdog",
                        '{alertname="Watchdog",event="inhibitionMutedAlert",instance="am-1"}',
                    ),
                    (
                        "silenceCreated database moves",
                        '{event="silenceCreated",instance="am-1"}',
                    ),
                    ("alertCreated", '{event="alertCreated",instance="am-1"}'),
                )
            ),
        ),
        cuts=len(EVENTS) - 2 * EVENTS.count(b"\n"),  # a cut before or behind an end of line
    ),
    Golden(
        "robusta",
        ROBUSTA,
        stranger=b"7",
        lines=(
            (
                "web",
                NOW,
                "notice",
                "Deployment properties change: spec.replicas: 1 -> 2",
                '{cluster="c",kind="Deployment",namespace="default"}',
            ),
        ),
        deep=ROBUSTA.replace(b'"old":1', b'"old":' + NEST),
    ),
]
