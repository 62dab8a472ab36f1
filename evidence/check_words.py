"""The checks of a verification by name, in the order in which they are done, each in Chinese and English.

A person reads these words beside the number of things that passed.
"""

from collections.abc import Mapping

CHECK_WORDS: Mapping[str, tuple[str, str]] = {
    "bundle": ("证据包与文件清单", "bundle and its index"),
    "form": ("声明的编码与声明头", "encoding and header of statements"),
    "key": ("签名密钥已登记、算法相符", "signing key registered, algorithm as registered"),
    "signature": ("签名", "signatures"),
    "payload": ("声明内容符合规定", "content of statements as prescribed"),
    "role": ("签署人的角色与范围", "role and scope of signers"),
    "receipt": ("存证回执（已入日志）", "receipts: in the log"),
    "validity": ("入日志时密钥有效", "key valid when logged"),
    "time": ("锚点与时间", "anchors and times"),
    "place": ("每个日志位置只有一条声明", "one statement at each place of the log"),
    "number": ("每个序号只有一条声明", "one statement for each number of a gateway"),
    "clock": ("网关时钟只向前走", "clocks of gateways run forward"),
    "checkpoint": ("日志检查点", "checkpoints of the log"),
    "stamp": ("时间戳", "time-stamps"),
    "between": ("时间在锚点与入日志之间", "times between anchor and log"),
    "revision": ("月度版本依次替代", "revisions of a month in one line"),
    "chain": ("网关声明链与读数范围", "chain of the gateway and ranges of readings"),
    "declaration": ("两人申报", "declarations by two people"),
    "cover": ("覆盖的时段无遗漏、无重复", "no segment left out or counted twice"),
    "hour": ("时段条目属于整点小时", "entries of whole hours"),
    "channel": ("通道事先声明", "channels declared beforehand"),
    "listed": ("声明所列文件齐全", "files that statements list"),
    "sum": ("月度合计等于各时段之和", "totals are the sums of the hours"),
    "quality": ("错误级检查结果已说明理由", "reason given for findings of severity E"),
    "approval": ("按顺序审核通过", "approvals in the prescribed order"),
    "report": ("审核所依据的报告", "reports that reviews stand on"),
    "challenge": ("原始数据留存抽查", "retention challenges"),
    "content": ("文件内容与摘要相符", "files have the bytes they are named by"),
    "reading": ("公开读数与根哈希相符", "disclosed readings lead to the signed root"),
    "tile": ("原始数据块与根哈希相符", "raw tiles lead to the signed root"),
    "tree": ("各时段的读数树逐段延续", "trees of readings grow from segment to segment"),
    "recount": ("由读数重算的时段", "segments recomputed from their readings"),
    "sm2": ("国密签名", "SM2 signatures"),
    "body": ("由声明重算的月度数据", "body recomputed from the statements"),
    "trust": ("可信文件在有效期内", "trust file within its time"),
}
