"""Numbers and signs that WeTextProcessing's rules read otherwise than people say them, rewritten as hanzi before it.

Telephone numbers, ids and rooms digit by digit, with 幺 for 1; years digit by digit and spans of years as numbers;
ordinals with 二; times and scores; degrees below zero; Roman numerals; signs beside letters.
"""

import re
from collections.abc import Callable

DIGITS = str.maketrans("0123456789", "零一二三四五六七八九")
SPELLED = str.maketrans("0123456789", "零幺二三四五六七八九")  # as in telephone numbers
NICKNAMES = ("911(?=事件|恐怖)|(?:985|211)(?=[/、和]?(?:985|211|工程|高校|大学|院校|学校|毕业))|"
             "(?:315|618|520|1314|996|007)(?=晚会|消费|大促|购物|促销|狂欢|快乐|情人|表白|工作制|加班|模式)")
TIMES = (  # of two: 两次
    "次遍倍趟种条张本件只双场回份套篇首把杯瓶碗节家间座辆台部项顿步段阵笔颗粒根支枚片轮番"
    "副幅所扇滴串束株朵丛伙帮拨批圈包尊床桩起款样局句门堵瓣晚剂亩")
DASH = "[-–—~～至到]"
NUMBERED = (
    "电话|手机|号码|热线|传真|账号|帐号|卡号|密码|[证件货餐付换邀约请别]码|学号|工号|编号|证号|身份证|车牌|邮编|[房床桌票座柜批]号|房间号|订单|单号|尾号|代码|"
    "ISBN|端口|房间|包间|包厢|门牌|警号|拨打|拨|致电|客服|微信|QQ|区号|分机|口令|识别码|邮政编码")
CALLED = "报警|急救|电话|热线|指挥|客服|服务|网站|官网|平台|[Aa][Pp][Pp]"  # behind 110, 12306
COUNTS = "年月日元块个人部台条位名次行字页米万亿点平"
CALLING = "(?:[打拨叫报喊呼]了?个?|找)$"  # before 110
EMERGENCIES = "报警|急救|救护|消防|火警|匪警|警察|民警|电话|热线|拨打|救命|喂|指挥|客服|平台"
SERVICES = r"1(?:10|19|20|22|14)|12\d{3}|100\d\d|95\d{3}|96\d{3}"
ROOMS = (
    "号?(?:房间|房(?!价|租|子)|室(?!内|外|温)|教室|宿舍|病房|会议室|路(?!程|费)|国道|省道|航班|医院|寝室|办公室|公交)")
LASTING = "(?:距今|[已约近有达过了共隔]|历时|将近|大约|超过|整整|足足|相隔|存在|持续|长达)$"
SCORED_BEFORE = "(?:比分|以|比例|战成|打成|踢成|扳成|大比分|[胜赢输负平]|领先|落后|比数|之比)[是为了]?$"
SCORED_BEHIND = (
    "(?:[、，和]\\d+[:-]\\d+)*(?:大|完|险|连)?(?:战胜|击败|领先|胜|获胜|打平|战平|平|的比分|的比例|的优势|逆转|输|负|落后|横扫|淘汰|完败|惜败|比)")
ROMAN = {"I": 1, "V": 5, "X": 10}
SIGNS = {"=": "等于", "<": "小于", ">": "大于", "≤": "小于等于", "≥": "大于等于", "≈": "约等于", "≠": "不等于",
         "×": "乘", "÷": "除以", "±": "正负", "√": "根号", "∠": "角", "△": "三角形", "⊥": "垂直于", "∥": "平行于",
         "π": "派", "∞": "无穷大"}
EVENTS = "奥运|冬奥|世界杯|欧洲杯|亚运|全运|春晚|[春秋夏冬]季|高考|峰会|论坛|年度|赛季|财年"  # of a year
UNITS = {"GHz": "吉赫兹", "MHz": "兆赫兹", "kHz": "千赫兹", "Hz": "赫兹", "dB": "分贝", "mAh": "毫安时", "mA": "毫安",
         "kWh": "千瓦时", "kW": "千瓦", "MW": "兆瓦", "W": "瓦", "kV": "千伏", "V": "伏", "MPa": "兆帕", "kPa": "千帕",
         "hPa": "百帕", "Pa": "帕", "Mbps": "兆比特每秒", "Ω": "欧姆", "mL": "毫升", "rpm": "转每分钟",
         "r/min": "转每分钟", "g/cm3": "克每立方厘米", "m/s2": "米每二次方秒",
         "t": "吨", "J": "焦耳", "hm2": "公顷", "km2": "平方公里", "kg/m3": "千克每立方米", "N·m": "牛米",
         "Mb/s": "兆比特每秒", "Gbps": "吉比特每秒", "MB/s": "兆字节每秒", "KB/s": "千字节每秒", "GB/s": "吉字节每秒",
         "kbps": "千比特每秒", "mmol/L": "毫摩尔每升", "μmol/L": "微摩尔每升", "umol/L": "微摩尔每升", "g/L": "克每升",
         "mg/L": "毫克每升", "mg/dL": "毫克每分升", "ng/mL": "纳克每毫升", "U/L": "单位每升", "mol/L": "摩尔每升",
         "mol": "摩尔"}  # those that WeTextProcessing lacks
BORN = "毕业|出生|生人|参军|入学|入伍|退伍|高考|结婚|世界杯|那年|那会儿|春节|夏天|冬天|秋天|年底|年初"  # behind 98年
PER = "分钟?|秒|小时|[天日周月年人次斤吨亩户间晚份瓶盒]|公斤|平方?米|立方米?"  # behind /, in 5元/斤

PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"  # at the beginning of a car's plate
CURRENCIES = {"$": "美元", "€": "欧元", "£": "英镑", "₩": "韩元"}
DOMAINS = "com|cn|net|org|gov|edu|cc|io|tv|top"

Match = re.Match[str]


def cardinal(number: int) -> str:
    """A whole number below 10^12 as hanzi, with 二 throughout: 1205 is 一千二百零五, 12 is 十二."""
    for unit, name in ((10**8, "亿"), (10**4, "万"), (1000, "千"), (100, "百"), (10, "十")):
        if number >= unit:
            high, low = divmod(number, unit)
            head = "" if unit == 10 and high == 1 else cardinal(high)
            gap = "零" if 0 < low < unit // 10 else ""
            tail = "一" + cardinal(low) if unit > 10 and 10 <= low < 20 else cardinal(low) if low else ""
            return head + name + gap + tail
    return str(number).translate(DIGITS)


def rewrite(text: str) -> str:
    """`text` (in compatibility form NFKC) with the numbers of the kinds above as hanzi."""
    for pattern, replacement in RULES:
        text = pattern.sub(replacement, text)
    return text


def _spelled(match: Match) -> str:
    return match[0].replace("-", "").replace(" ", "").translate(SPELLED)


def _digits(match: Match) -> str:
    return match[0].translate(DIGITS)


def _year(match: Match) -> str:
    """1949年 digit by digit, but a number where it lasts (距今2000年, 有1300年的历史) or no date is so far off."""
    number, behind = int(match[0]), match.string[match.end() :]
    lasts = re.search(LASTING, match.string[: match.start()]) or re.match("多|年(?:的?历史|之久)", behind)
    far = not 1100 <= number < (2100 if behind.startswith("年前") else 3000)
    return _counted(number) if lasts or far else match[0].translate(DIGITS)


def _counted(number: int) -> str:
    """As a quantity: 2000 is 两千."""
    return re.sub("^二(?=[千万亿])", "两", cardinal(number))


def _decimal(match: Match) -> str:
    whole, part = match[0].split(".")
    return f"{_counted(int(whole))}点{part.translate(DIGITS)}"


def _perhaps_service(match: Match) -> str:
    """110 and the like: telephone numbers where one calls them, or near what is for emergencies, else numbers."""
    counts = re.match(rf"[{COUNTS}分折秒斤下多来余只件]", match.string[match.end() :])
    called = re.search(CALLING, match.string[: match.start()]) or re.search(EMERGENCIES, match.string)
    return _spelled(match) if called and not counts else cardinal(int(match[0]))


def _months(match: Match) -> str:
    """2021.7-2023.6, or 2021.7至今: years and months."""
    since = f"{match[1].translate(DIGITS)}年{cardinal(int(match[2]))}月"
    return f"{since}到{match[3].translate(DIGITS)}年{cardinal(int(match[4]))}月" if match[3] else f"{since}至"


def _ordinal(match: Match) -> str:
    return cardinal(int(match[0]))


def _time(match: Match) -> str:
    hour, minute, second = int(match[1]), int(match[2]), match[3]
    if hour > 24 or minute > 59 or _scored(match):
        return _score(match) if second is None else match[0]
    said = ("两" if hour == 2 else cardinal(hour)) + "点"
    if minute or second:
        said += ("零" if minute < 10 else "") + cardinal(minute) + "分"
    return said + (cardinal(int(second)) + "秒" if second else "")


def _score(match: Match) -> str:
    return f"{cardinal(int(match[1]))}比{cardinal(int(match[2]))}"


def _scored(match: Match) -> bool:
    return bool(re.search(SCORED_BEFORE, match.string[: match.start()])
                or re.match(SCORED_BEHIND, match.string[match.end() :]))


def _score_with_dash(match: Match) -> str:
    return _score(match) if _scored(match) else match[0]


def _roman(match: Match) -> str:
    values = [ROMAN[letter] for letter in match[0]]
    return cardinal(sum(-one if one < behind else one for one, behind in zip(values, [*values[1:], 0], strict=True)))


def _version(match: Match) -> str:
    return "点".join(cardinal(int(part)) for part in match[0].split("."))


def _half_of_day(match: Match) -> str:
    return ("上午" if match[2] == "a" else "下午") + (match[1] if ":" in match[1] else match[1] + "点")


def _flight(match: Match) -> str:
    digits = match[2]
    return match[1] + (digits.translate(SPELLED) if len(digits) > 2 else cardinal(int(digits)))


RULES: list[tuple[re.Pattern[str], str | Callable[[Match], str]]] = [
    (re.compile(pattern), replacement) for pattern, replacement in (
        (rf"(?<=[{PROVINCES}])([A-Z])[·・.\s]?([A-Z\d]{{5,6}})(?![A-Za-z\d])",
         lambda match: (match[1] + match[2]).translate(SPELLED)),
        (r"(?<=\d),(?=\d{3}(?!\d))", ""),
        (r"(?<=\d)∶(?=\d)", ":"),
        (r"[¥￥]\s?(?=\d[\d.]*[万亿]?[元块])", ""),
        (r"(血压[^\d，。]{0,4}\d{2,3})/(?=\d{2,3})", r"\1，"),
        (r"(?<=[A-Za-z]{3})-(?=\d)", ""),
        (r"(?<![\d.¥￥$€£])(?:(?!(?:19|20)\d\d\.)\d{4,9}\.\d+(?![\d.])|\d{4}\.\d+(?=点|元|米|万|亿))", _decimal),
        (rf"(?<!\d)['‘’]?(\d\d)(?=年(?:{BORN}))|['‘’](\d\d)(?=年)",
         lambda match: (match[1] or match[2]).translate(DIGITS)),
        (r"(?<=\d)[—–―](?=\d)", "-"),
        (r"(?<=\d[年月日号点时])\s*[-–—~～]{1,2}\s*(?=\d)", "到"),
        (r"(?<!\d)((?:19|20)\d\d)[-/](\d\d)(?=赛季|学年|财年|年度)",
         lambda match: f"{match[1]}到{match[2]}".translate(DIGITS)),
        (r"(?<![A-Za-z])([A-Z])(\d{1,2})L(?![A-Za-z/])", lambda match: f"{match[1]}{cardinal(int(match[2]))}L"),
        (r"(?<=初)(?:10|[1-9])(?![\d中年])", _ordinal),
        (r"(?<=%)\s*[-~～至]\s*(?=\d)|"
         r"(?<=:\d\d)\s*[-—~～]{1,2}\s*(?=(?:次日|凌晨|早上|上午|中午|下午|晚上?)?\d{1,2}:\d\d)", "到"),
        (r"(?<=[A-Z])(?<!°C)-(?=\d)|(?<=[歼轰运直])-(?=\d)|(?<=东风|长征|神舟|嫦娥)-(?=\d)", ""),
        (r"(?<![\dA-Za-z%])[-−](?=\d[\d.]*%)", "负"),
        (r"(?<![A-Za-z])[Nn]o\.?\s*(?=\d)", "第"),
        (r"(?:^|(?<=\s))\.(?=\d)", "0."),
        (r"(?<!\d)(640|800|1024|1280|1366|1920|2560|3840)\s*[×xX*]\s*(\d{3,4})(?!\d)",
         lambda match: f"{match[1]}乘{match[2]}".translate(DIGITS)),
        (r"(?<!\d)\d{3}/\d\d(?=[RZ]\d\d)", lambda match: match[0].translate(DIGITS).replace("/", " ")),
        (r"(?<=\d[kKwW])\s*[-~～]\s*(?=\d)|(?<=°C)\s*[-~～]\s*(?=\d)", "到"),
        (r"(?<!\d)([6-9][05]|00|05|10)(?=后(?!来|天|面|边|年|台|方|续|[再又才就])|[、和][0-9][05]后)", _digits),
        (r"(?<![\d-])\d-\d(?:[、,，\s]+\d-\d)+(?![\d-])", lambda match: re.sub("[-–]", "比", match[0])),
        (r"(?<!\d)((?:19|20)\d\d)\.(\d\d?)\s*[-–—~～至到]\s*(?:((?:19|20)\d\d)\.(\d\d?)(?![\d.])|(?=今))", _months),
        (r"(?<!\d)(5|10)·1(?!\d)", lambda match: cardinal(int(match[1])) + "一" * (match[1] == "5")),
        (r"(?<=\d)\s?g(?![A-Za-z\d/]|网|手机|信号|时代)", "克"),
        (r"(?<![\d/])(\d+)/(\d+)(?=[层页集章])|(?<=楼层)(\d+)/(\d+)",
         lambda match: f"{match[1] or match[3]}斜杠{match[2] or match[4]}"),
        (r"\^([-−]?)(\d{1,3})(?!\d)", lambda match: f"的{'负' * bool(match[1])}{cardinal(int(match[2]))}次方"),
        (r"#([^#\d\s][^#]*)#", r"，\1，"),
        (r"(电流[^\d，。]{0,4}\d[\d.]*|\d\s?V\s?/?\d[\d.]*)\s?A(?![A-Za-z\d级])", r"\1安"),
        (r"(力[^\d，。]{0,4}\d[\d.]*)\s?N(?![A-Za-z\d])", r"\1牛"),
        (r"(?<=\d)°(\d{1,2})['′](?:([\d.]+)(?:′′|''|\"))?",
         lambda match: f"度{match[1]}分" + (f"{match[2]}秒" if match[2] else "")),
        (r"\+86[- ]?(?=1[3-9]\d-?\d)", "加八六"),
        (r"HK\$\s*(\d[\d.]*[万亿]?)", r"\1港元"),
        (r"US\$\s*(\d[\d.]*[万亿]?)", r"\1美元"),
        (r"([$€£₩])\s?(\d[\d.]*)([万亿]+)", lambda match: match[2] + match[3] + CURRENCIES[match[1]]),
        (r"₩\s?(\d[\d.]*)", r"\1韩元"),
        (r"\bUSD\s*(\d[\d.]*[万亿]?)|(\d[\d.]*[万亿]?)\s*USD\b", r"\1\2美元"),
        (rf"(?<=[A-Za-z])\d{{2,}}(?=@|\.(?:{DOMAINS})(?![A-Za-z]))", _spelled),
        (r"@(\d*)(?=\w|\.)", lambda match: "艾特" + match[1].translate(SPELLED)),
        (r"://", "冒号斜杠斜杠"),
        (r"(?<=www)\.(\d*)", lambda match: "点" + match[1].translate(SPELLED)),
        (rf"(?<=\w)\.(?=(?:{DOMAINS})(?![A-Za-z]))", "点"),
        (rf"(?<=点)({DOMAINS})/(?=\w)", r"\1斜杠"),
        (r"(?<![\d-])(\d+)\s*[-−]\s*(\d+)(?=\s*=)", r"\1减\2"),
        (r"(?<=\d)\s*\*\s*(?=\d)", "乘"),
        (r"(?<![\w)）])\+(?=\d[\d.]*%)|(?<=[^\x00-\x7f])\+(?=\d[\d.]*%)", "加"),
        (r"(?<=[A-Za-z])\.(?=[A-Za-z]{2})", "点"),
        (r"(?<=[A-Z])/(?=[A-Z](?![A-Za-z]))", " "),
        (r"(?<=\w)\s*&\s*(?=\w)", "和"),
        (r"(?<=[A-Za-z])\++(?![\dA-Za-z])", lambda match: "加" * len(match[0])),
        (r"(?<=[A-Za-z0-9)方])\+(?=[A-Za-z0-9(])|(?<=\d)\+(?!\w)", "加"),
        (r"(?<=[A-Z])#", "井"),
        (r"(?<=\d)\s*[-~～—]\s*(?=[¥$€£]\s?\d)", "到"),
        (r"(?<=[约近超过足少剩])(\d{1,3})/(\d{1,3})(?![\d/])",
         lambda match: f"{cardinal(int(match[2]))}分之{cardinal(int(match[1]))}"),
        (r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])", lambda match: match[0].translate(SPELLED).replace(".", "点")),
        (r"(?<!\d)((?:19|20)\d\d)[-–—~/]((?:19|20)\d\d)(?=学?年|赛季)",
         lambda match: f"{match[1]}到{match[2]}".translate(DIGITS)),
        (r"(?<!\d)24/7(?!\d)", "二十四七"),
        (r"(?<![\d:])(\d{1,2}(?::\d\d)?)\s*([ap])\.?m(?![A-Za-z])", _half_of_day),
        (r"(?<!\d)\d{3,4}(?=班(?!车|次|机|人|级))", _digits),
        (r"(?<=1、)2(?=、3)", "二"),
        (r"(?<=[元块])/\s?kg(?![A-Za-z])", "每公斤"),
        (r"(?<!\d)7-11(?=便利|超市|店|$)", "七十一"),
        (r"((?:薪|存款|粉丝|播放量?|首付|预算|收入|彩礼)[^\d，。]{0,3}\d[\d.]*)[wW](?![A-Za-z])|"
         r"(\d[\d.]*)[wW](?=[+加]|粉|块|赞|播放|存款|年薪|人次|多块)", lambda match: (match[1] or match[2]) + "万"),
        (r"(?<![\d.])2、3(?=[个位名天次年件只本块点])", "两三"),
        (r"(?<!\d)2(?=[室厅卫](?![内外温生]))", "两"),
        (rf"(?<![\d.¥$])(?:19|20)\d\d(?=[^\d，。年]{{0,4}}(?:{EVENTS}))", _digits),
        (rf"(?<=[\d万亿多余方])\s?({'|'.join(UNITS)})(?![A-Za-z\d/])", lambda match: UNITS[match[1]]),
        (r"(?<![\dA-Za-z.:/-])1(?:10|14|19|20|22)(?![\dA-Za-z.°%:/-])", _perhaps_service),
        (r"[¥￥]\s?(\d[\d.]*)\s?[-~～—]\s?[¥￥]?(\d[\d.]*)元?", r"\1到\2元"),
        (r"\bf/(?=\d)", "f"),
        (r"(?<![\d/.])([1-9])/(\d{2,4})(?=秒)",
         lambda match: f"{cardinal(int(match[2]))}分之{cardinal(int(match[1]))}"),
        (r"(?<![\d-])\d(?:-\d){2,3}(?=阵型|阵容|战术|打法)", _spelled),
        (r"(?<=\d)#(?=汽油|柴油|楼|院|门|线|机|炉|厂房|仓|宿舍|教学楼|公寓)", "号"),
        (r"(?<![\d.])2(?=单元)", "二"),
        (r"(\d[\d.]*)‰", r"千分之\1"),
        (rf"[¥￥]\s?(\d[\d.]*)/(?=(?:{PER})(?!\w))", r"\1元每"),
        (rf"(?<=[\d万次元块个件人吨度转步])/(?=(?:{PER})(?:[^\w]|[的起左右以]|$))", "每"),
        (r"(?<=\d)(ml|mg|kg|g|L)/(?=[次人份瓶盒])", r"\1每"),
        (rf"\s*([{''.join(SIGNS)}])\s*", lambda match: SIGNS[match[1]]),
        (r"(?<![A-Za-z])(?=[IVX]{2})(?!X+(?![IV]))X{0,3}(?:IX|IV|V?I{0,3})(?![A-Za-z])", _roman),
        (r"(?<!\d)(?:\d{17}[\dX]|\d{3,5}X)(?![\dA-Za-z])", _spelled),
        (r"802\.1(?:[1-9x]|(?=[a-z]))", lambda match: match[0].translate(SPELLED).replace(".", "点")),
        (r"(?<![\d.])1[3-9]\d[- ]?\d{4}[- ]?\d{4}(?!\d)", _spelled),
        (r"(?<![\d.])0\d{2,3}-\d{4,8}(?!\d)|(?<![\d.])0\d{2,3}\d{7,8}(?!\d)|(?:(?<=\d转)|(?<=请转))\d{3,4}(?!\d)|(?<=转)\d{3,4}(?=分机)|"
         r"(?<!\d)[48]00-?\d{3}-?\d{4}(?!\d)", _spelled),
        (rf"(?<=[打拨])(?:{SERVICES})(?!\d)|(?<!\d)(?:{SERVICES})(?=(?:{CALLED}))", _spelled),
        (rf"(?:{NUMBERED})[号码是为:,\s]*\d[\d-]{{2,}}(?: \d{{3,4}})*(?![A-Za-z\d.:{COUNTS}])", _spelled),
        (rf"(?<![\d.])\d{{3,4}}(?={ROOMS})", _spelled),
        (r"(?<=[楼栋幢座层元])\d{3,4}(?![\d.:年月日元块个人户套间平米万亿])", _spelled),
        (r"(?:(?<=[A-Za-z])|(?<=[A-Z] ))\d{5,}(?![\d.])", _spelled),
        (r"(?<![A-Za-z])([A-Z]{2}|[A-Z](?=\d{3}(?!\d))|[GDCKTZ](?=\d+次))(\d{1,4})(?![\d.A-Za-z])", _flight),
        (r"(?<=[A-Z]{3})\d{4}(?![\d.:,%年月日元块个万亿])|(?<=波音)7\d7(?:-\d{1,3})?", _spelled),
        (r"(?<=[A-Z]{2})\s(\d{3,4})(?![\d.:,%年月日元块个万亿])", lambda match: " " + match[1].translate(SPELLED)),
        (rf"(?<!\d)(?:{NICKNAMES})|(?<=N)95(?!\d)|(?<!\d)(?:480|720|1080|2160)(?=[Pp](?![A-Za-z]))", _spelled),
        (r"(?<!\d)\d{1,2}·\d{1,2}(?!\d)", lambda match: match[0].replace("·", "").translate(SPELLED)),
        (r"(?<![\d.])0\d{2,}(?![\d.])|(?<![\d.])\d{13,}(?![\d.])", _spelled),
        (rf"(?<!\d)(?:1\d|20)\d\d(?={DASH}(?:1\d|20)\d\d年)", _digits),
        (rf"(?<=[零一二三四五六七八九]){DASH}(?=(?:1\d|20)\d\d年)", "到"),
        (r"(?<=\()(\d{3})[-–—~～至](\d{3,4})(?=年\))", lambda match: f"{match[1]}到{match[2]}".translate(DIGITS)),
        (r"(?<=公元前)\d{1,4}(?=年)|(?<=公元)\d{3,4}(?=年)|(?<!\d)0\d(?=年)|(?<!\d)(?:19|20)\d\d(?=[级届款])", _digits),
        (r"(?<![\d.])(?:(?:1\d|20)\d\d|[1-9]\d00)(?=多?年)", _year),
        (r"(?<![\d.:])\d{1,2}\.\d{1,2}(?=大?(?:地震|事件|恐怖|惨案|事变|运动|晚会|空难|火灾|爆炸|事故|特大|革命|讲话))",
         lambda match: match[0].replace(".", "").translate(SPELLED)),
        (r"(?<![\d.])(?!(?:19|20)\d\d\.\d\d?\.\d\d?)\d+(?:\.\d+){2,}(?![\d.])(?!年)", _version),
        (r"(?<=[A-Z])2(?=[A-Z层座栋区口馆])", "二"),
        (r"(?<=\d[米秒])\d\d(?!\d|[.％%秒分])", _digits),
        (r"(?<![\d.:A-Za-z$¥-])2(?:\d[1-9]|[1-9]0)(?=[多余来]?[块元伏人克斤米个页公里天名分种台家张项件万]|$)",
         _ordinal),
        (r"(第\d{1,4})[-–~～](?=\d{1,4}[^\d.])", r"\1到"),
        (r"(?<![\d.:A-Za-z-])\d{3,4}(?=次(?!列车|特快|快车|直快|动车|高铁|航班))",
         lambda match: _counted(int(match[0]))),
        (r"(?<=第)\s*\d{1,11}(?![\d.])|(?<=到)\d{1,4}(?=[名届章页课次])", _ordinal),
        (r"(?<![\d:.])(\d{1,2}):(\d{2})(?::(\d{2}))?(?![\d:])分?", _time),
        (r"(?<![\d:.])(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)(?![\d:])", r"\1比\2"),
        (r"(?<![\d.-])(\d{1,3})[-–—](\d{1,3})(?![\d.%-])", _score_with_dash),
        (r"(?<![\d.第十])2(?=点(?![\d零一二三四五六七八九])|点[\d零一二三四五六七八九十]{1,3}分)", "两"),
        (r"(?<=点)0(?=2分)", "零"),
        (r"(?<![\d.])2(?=[日号])|(?<=零)2(?=[分秒])|(?<=分)02(?=秒)", lambda match: match[0].translate(DIGITS)),
        (rf"(?<![\d./:第])2(?=[{TIMES}]|年(?!级|\d|[一二两三]班))", "两"),
        (r"(?<!\d)\d\d(?=年\d{1,2}月)", _digits),
        (r"(?<![\dA-Za-z])[-−](?=\d+(?:\.\d+)?(?:[-~～至到]\d+(?:\.\d+)?)?\s*(?:℃|°C|度|摄氏度))", "零下"),
    )
]
