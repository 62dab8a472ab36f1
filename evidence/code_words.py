"""What each verification code means, in Chinese and English: one sentence a person can act on.

The detail beside a code is for the one who looks into it; these words are for everyone.
"""

from collections.abc import Mapping

from evidence.errors import Code

CODE_WORDS: Mapping[Code, tuple[str, str]] = {
    Code.ENCODING: (
        "编码不合规定，内容可能被改动",
        "The encoding is not the one prescribed; it may have been changed.",
    ),
    Code.HEADER: ("声明头不合规定", "The statement's header is not as prescribed."),
    Code.ALG: ("签名算法不被接受或与登记不符", "The signature algorithm is not accepted, or not the registered one."),
    Code.KEY_UNKNOWN: (
        "签名密钥未登记，或可信文件太旧",
        "The signing key is not registered, or the trust file is too old.",
    ),
    Code.KEY_REVOKED: ("签名时密钥已被吊销", "The key had been revoked when this was signed."),
    Code.KEY_SUPERSEDED: ("签名时密钥已被更换", "The key had been replaced when this was signed."),
    Code.KEY_SUSPECT: ("密钥在此期间存疑，需要确认", "The key is in doubt for this time; confirmation is needed."),
    Code.ROLE: ("签署人的角色无权签署此类内容", "The signer's role does not allow this."),
    Code.SUBJECT_SCOPE: ("签署人无权代表该企业或地区", "The signer is not entitled for this plant or region."),
    Code.SIGNATURE: ("签名与内容不符，内容或签名被改动", "Signature and content do not fit; one of them was changed."),
    Code.PAYLOAD: ("内容不是规范的 JSON", "The content is not canonical JSON."),
    Code.SCHEMA: ("内容缺少或多出规定的项目", "The content lacks a prescribed member or has one too many."),
    Code.TYP_MISMATCH: ("声明类型与内容不符", "The type in the header is not that of the content."),
    Code.NOT_LOGGED: ("没有存证回执，尚未入日志", "There is no receipt: it is not (yet) in the log."),
    Code.LEAF_MISMATCH: ("公开的读数与承诺不符", "A disclosed reading is not the one committed to."),
    Code.INCLUSION_FAIL: ("回执不能证明该内容在日志或读数树中", "The proof does not lead to the signed root."),
    Code.CONSISTENCY_FAIL: (
        "新旧日志或读数树不一致，可能被改写",
        "Old and new tree do not agree; one may have been rewritten.",
    ),
    Code.LOG_ORIGIN: ("来自另一个日志", "It comes from another log."),
    Code.LOG_EQUIVOCATION: ("日志对不同的人给出不同内容", "The log told different people different things."),
    Code.CHECKPOINT_FORMAT: ("回执或检查点格式损坏", "A receipt or checkpoint is malformed."),
    Code.QUORUM: ("检查点缺少可信的签名", "The checkpoint lacks a trusted signature."),
    Code.FORK: ("同一序号有两份不同的声明", "Two different statements bear one number."),
    Code.SEQ_REGRESSION: ("序号倒退", "The numbers run backwards."),
    Code.CHAIN_INCOMPLETE: ("声明链不完整，有缺失", "The chain of statements has a hole."),
    Code.RANGE_GAP: ("两个时段之间缺少读数", "Readings are missing between two segments."),
    Code.RANGE_OVERLAP: ("两个时段的读数重叠", "Two segments cover the same readings."),
    Code.SEGMENT_MISSING: ("缺少月度存证所依据的时段", "A segment that the month stands on is missing."),
    Code.INDEX_MISMATCH: ("读数的位置与所示不符", "A reading stands at another place than shown."),
    Code.PERIOD_DUPLICATE: ("同一月份有两份首版", "A month was submitted twice as first revision."),
    Code.SUPERSEDE_FORK: ("同一版本被替代两次", "One revision was superseded twice."),
    Code.NOT_APPROVED: ("该版本尚未按顺序审核通过", "This revision is not approved in the prescribed order."),
    Code.DECLARE_MISSING: ("缺少申报", "A declaration is missing."),
    Code.DECLARE_ORDER: (
        "申报顺序不对：应先化验/计量人员、后负责人",
        "The technician declares first, then the responsible person.",
    ),
    Code.DECLARE_MISMATCH: ("申报的内容与月度存证不同", "What was declared is not what the month states."),
    Code.SEPARATION_OF_DUTY: ("同一人做了应由两人分别做的事", "One person did what two people must do."),
    Code.QUALITY_OPEN: (
        "有错误级检查结果未说明理由，不能申报",
        "Findings of severity E stand without a written reason.",
    ),
    Code.CONTENT_HASH: ("文件内容与摘要不符，文件被改动", "A file is not the one that was named; it was changed."),
    Code.CONTENT_MISSING: ("缺少文件", "A file is missing."),
    Code.CONTENT_EXTRA: ("有未列出的文件", "There is a file that nobody listed."),
    Code.AGGREGATE_MISMATCH: (
        "合计与各时段或核算规则不符",
        "Totals do not follow from the segments or the accounting rules.",
    ),
    Code.CHALLENGE_FAIL: ("抽查的原始数据未能提供或不符", "Challenged raw data were not given or do not fit."),
    Code.ANCHOR_STALE: ("锚点早于应有的检查点", "The anchor is older than it should be."),
    Code.TIME_CONTRADICTION: ("时间自相矛盾", "The times contradict each other."),
    Code.TIME_FUTURE: ("时间在将来", "The time lies in the future."),
    Code.CLOCK_STEP_UNDECLARED: ("时钟跳变没有声明记录", "A clock step was not declared."),
    Code.LATE_COMMITMENT: ("提交较晚", "It was committed late."),
    Code.PENDING_OVERDUE: ("等待处理超期", "Something pending is overdue."),
    Code.TSA_FAIL: ("时间戳无效", "The time-stamp does not hold."),
    Code.SM2_MISSING: ("缺少要求的国密签名", "The SM2 signature that is required is missing."),
    Code.TRUST_STALE: ("可信文件已过期，请重新下载", "The trust file has expired; download it again."),
    Code.BUNDLE_FORMAT: ("证据包格式不合规定或被改动", "The bundle is not of the prescribed form, or was changed."),
}
