"""The rules of the identifier detector: patterns, and the words that tell a name from a medical term.

Each rule is a form that identifiers have in reports written in English: a label and its value, or a shape that little
else has. Rules prefer to miss an odd form over taking medical text for an identifier.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from indexers.sources.identifiers import IdentifierKind


class Rule(NamedTuple):
    """A pattern; `group` is the part of it that identifies.

    hint: a quick pattern without which the rule cannot match. credited: not applied within a credit line. eponymic:
    not applied before words such as syndrome. text_only: not applied to record ids and file names.
    """

    kind: IdentifierKind
    pattern: re.Pattern[str]
    group: int = 0
    hint: re.Pattern[str] | None = None
    credited: bool = False
    eponymic: bool = False
    text_only: bool = False


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Every repetition is bounded: on text made to be slow, a pattern must stay linear.
_CAPITALISED = (
    r"(?!(?:MRN|DOB|SSN|MD|NHS|ID)\b)(?:(?:O|D|Mc|Mac|Van|De|Di|La|Le)['’]?)?"
    r"[A-ZÀ-Þ](?:[a-zà-ÿ]{1,30}|[A-ZÀ-Þ]{1,30})(?:[-'’][A-ZÀ-Þ]?[A-Za-zà-ÿ]{1,30}){0,2}"
)
_INITIAL = r"[A-Z]\.?"
_PARTICLES = r"(?:(?:de|la|der|den|van|von|del|da|dos|el|al|bin|ibn)[ ]){0,3}"
_SPACED = rf"{_CAPITALISED}(?:[ ]{{1,3}}(?:{_INITIAL}[ ])?{_CAPITALISED}){{0,3}}"
_NAMES = rf"{_SPACED}(?:,[ ]{{1,3}}{_CAPITALISED})?(?:,?[ ]{_INITIAL}(?![\w'’]))?"
# Given names common in the United States census lists that are not also words of medical or general English.
_GIVEN = _words(
    "Aaron Abigail Adam Ahmed Alan Albert Alexander Alice Amanda Amy Andrea Andrew Angela Anna Anthony Arthur Barbara "
    "Benjamin Betty Brandon Brenda Brian Bruce Bryan Carlos Carol Caroline Catherine Charles Charlotte Cheryl "
    "Christina Christine Christopher Cynthia Daniel David Deborah Debra Dennis Diana Diane Donald Donna Dorothy "
    "Douglas Dylan Edward Elizabeth Emily Emma Eric Ethan Eugene Evelyn Fatima Frances Francisco Gabriel Gary George "
    "Gerald Gloria Gregory Hannah Harold Heather Helen Henry Isabella Jack Jacob Jacqueline James Janet Janice Jason "
    "Jean Jeffrey Jennifer Jeremy Jerry Jesse Jessica Joan Joe John Jonathan Jose Joseph Joshua Joyce Juan "
    "Judith Judy Julia Julie Justin Karen Katherine Kathleen Kathryn Keith Kelly Kenneth Kevin Kimberly Kyle Larry "
    "Laura Lauren Lawrence Linda Lisa Louis Luis Margaret Maria Marie Marilyn Martha Mary Matthew "
    "Megan Melissa Michael Michelle Mohammed Muhammad Nancy Natalie Nathan Nicholas Nicole Noah Olivia Pamela "
    "Patricia Patrick Paul Peter Philip Priya Rachel Ralph Randy Raymond Rebecca Richard Robert Roger Ronald Russell "
    "Ruth Ryan Samantha Samuel Sandra Sara Sarah Scott Sean Sharon Shirley Sofia Sophia Stephanie Stephen Steven "
    "Susan Teresa Theresa Thomas Timothy Tyler Vincent Walter Wayne Wei William Zachary"
)
_ANY_GIVEN = "|".join((*_GIVEN, *(name.upper() for name in _GIVEN)))

COMMON_WORDS = frozenset(
    _words(
        "asymptomatic diabetic elderly healthy hypertensive neonate newborn obese smoker young xx xxx xxxx xxxxx "
        "a abdomen able absent acute adult age aged all an and ap are as at axial bilateral bone brain breast by "
        "cardiac chest child clear clinical comparison complains consent contrast coronal ct date days denies "
        "diagnosis doctor exam examination female findings for fracture from given has he heart her hepatic his "
        "history hospital i if impression in indication infant information is it known left lung lungs male man "
        "mild mr mri no none nodules normal not of on or pa patient patients pelvis pending physician position "
        "post presents prior provided radiograph radiologist reason reports right sagittal see service seen she "
        "sitting skull small spine standing status study supine technique the there this to unavailable unknown "
        "unremarkable unspecified upright was white with withheld woman year"
    )
)
"""Words that follow a label or a title without being a name, in small letters."""

EPONYM_WORDS = re.compile(
    r"(?:['’]s?)?[ ]{1,3}(?:[A-Z]\w{1,30}[ ])?(?:and[ ])?(?:syndrome|disease|sign|splint|test|murmur|reflex|"
    r"tumou?r|law|ligament|fracture|nodule|node|cell|stain|classification|score|scale|criteria|method|operation|procedure|"
    r"canal|duct|gland|wort|attack|bandage|pupil|palsy|phenomenon|anomaly|triangle|line|cyst|view|position|"
    r"man(?:o?eu|eu)ver|index|equation|rule|university|hospital|clinic|school|institute|college|cent(?:er|re)|foundation|"
    r"medical|et|colleague|co-?worker)s?\b|[ ]?[(\[]\d",
    re.IGNORECASE,
)
CREDIT = re.compile(
    r"\b(?:credits?\b|courtesy|modification of work|(?:photo(?:graph)?|image|micrograph|illustration|drawing)s? by\b|"
    r"adapted from|reproduced (?:from|with)|licen[cs]ed?\b|source:|available (?:at|from))|©",
    re.IGNORECASE,
)
CREDIT_REACH = 200
"""Characters before a name within which a credit covers it."""

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|"
    r"Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_YEAR = r"(?:19|20)\d\d"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_VALUE = r"(?=[A-Za-z0-9./-]{0,40}\d)[A-Za-z0-9][A-Za-z0-9./-]{2,40}[A-Za-z0-9]"
_DIGIT = re.compile(r"\d")


def _rule(kind: IdentifierKind, pattern: str, group: int = 0, **options: object) -> Rule:
    return Rule(kind, re.compile(pattern), group, **options)  # type: ignore[arg-type]


NAME_RULES: tuple[Rule, ...] = (
    _rule(
        "name",
        rf"(?<!\w)(?:(?:{_INITIAL}[ ]){{1,3}}{_SPACED},?[ ]M\.?D\b|{_CAPITALISED}[ ](?:{_INITIAL}[ ])?{_CAPITALISED}"
        r"(?:[ ]MD\b|,?[ ](?:M\.D\.|MBBS|FRCR|FACR|DABR)))",
        credited=True,
        hint=re.compile(r"MD|M\.D|MBBS|F[RA]CR|DABR"),
    ),
    _rule(
        "name",
        r"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Professor|Doctor|Herr|Frau)\b(?:\.?[ ]{1,3}|\.)(?:(?:Dr|med)\.?[ ]){0,2}"
        rf"((?:{_INITIAL}[ ]){{0,3}}{_PARTICLES}{_SPACED})",
        1,
        credited=True,
        eponymic=True,
    ),
    _rule("name", r"\b(?:DR|MRS|PROF|MR|MS)\.[ ]{1,3}([A-Z]{2,}(?:[ ]{1,3}[A-Z]{2,})?)\b", 1),
    _rule(
        "name",
        r"(?i:\b(?:patient(?:['’]s)?(?:[ ]{1,3}name)?|pt\.?(?:[ ]{1,3}name)?|"
        r"(?:last|first|given|family|full|sur)[ ]?name|"
        r"attending|radiologist|pathologist|"
        r"(?:referring|requesting|ordering|attending|primary)?[ ]?(?:physician|doctor|clinician|provider)|"
        r"surgeon|sonographer|technologist|operator|performed[ ]by)[ ]{0,3}[:=][ ]{0,3})"
        rf"((?:(?:Dr|Mr|Mrs|Ms|Prof)\.?[ ]{{1,3}})?(?:{_INITIAL}[ ]){{0,3}}{_PARTICLES}{_NAMES})",
        1,
        hint=re.compile("[:=]"),
    ),
    _rule(
        "name",
        r"(?i:\b(?:signed|dictated|transcribed|reported|interpreted|verified|approved|referred|requested|ordered)"
        r"(?:[ ]{1,3}electronically)?[ ]{1,3}by\b[ ]{0,3}:?[ ]{0,3})"
        rf"((?:(?:Dr|Mr|Mrs|Ms|Prof)\.?[ ]{{1,3}})?(?:{_INITIAL}[ ]){{0,3}}{_PARTICLES}{_NAMES})",
        1,
        eponymic=True,
    ),
    _rule(
        "name",
        r"\b(?i:name|next[ ]of[ ]kin|mother|father|spouse|guardian|emergency[ ]contact)[ ]{0,3}[:=][ ]{0,3}"
        rf"({_CAPITALISED},?[ ]{{1,3}}(?:{_INITIAL}[ ]{{1,3}})?{_CAPITALISED})",
        1,
    ),
    _rule(
        "name",
        r"(?<![\w^])[^\W\d_][\w'’-]{1,40}\^[^\W\d_][\w'’ .-]{0,40}(?:\^[\w'’ .-]{0,40}){0,3}",
        hint=re.compile(r"\^"),
    ),
    _rule(
        "name",
        r"\b(?=[A-Z])(?<!San )(?<!Santa )(?<!St )(?<!St\. )(?<!Saint )"
        rf"(?:{_ANY_GIVEN})[ ]{{1,3}}(?:{_INITIAL}[ ]{{1,3}})?{_CAPITALISED}(?:[ ]{{1,3}}(?:Jr|Sr)\b\.?)?",
        credited=True,
        eponymic=True,
    ),
    _rule("name", rf"\b{_CAPITALISED},[ ](?:{_ANY_GIVEN})\b(?:[ ]{_INITIAL}(?!\w))?", credited=True),
)
"""A title, a label, the caret of DICOM, or a common given name with another capitalised word."""

FORM_RULES: tuple[Rule, ...] = (
    _rule(
        "number",
        r"\b(?:ID[ ]?[:#]|(?i:medicare|medicaid)[ ]?:?|(?i:case|surgical)[ ](?i:no\b\.?|number|#))[ ]?"
        rf"({_VALUE})",
        1,
        hint=_DIGIT,
    ),
    # The number of a specimen: a letter or two, the year, the running number.
    _rule("number", r"(?<![\w-])[A-Z]{1,2}[0-3]\d-\d{4,7}(?![\w-])", hint=_DIGIT, text_only=True),
    _rule(
        "address",
        r"\b[A-ZÄÖÜ][a-zäöüß]{2,30}(?:str\.|straße|strasse|gasse|allee|platz|weg)[ ]\d{1,4}[a-z]?\b",
        hint=_DIGIT,
    ),
    _rule(
        "date",
        r"(?i:\b(?:DOB|D\.O\.B\.|date[ ]of[ ]birth|birth[ ]?date|born(?:[ ]on)?)[ ]{0,3}:?[ ]{0,3})"
        rf"(\d{{1,2}}[/.-]\d{{1,2}}[/.-]\d{{2,4}}|{_MONTH}[ ]{_DAY}|{_DAY}[ ]{_MONTH})(?!\d)",
        1,
        hint=_DIGIT,
    ),
    _rule(
        "date",
        rf"(?<!\w)(?i:{_DAY}(-?)(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\1(?:{_YEAR}|\d\d))(?!\w)",
        hint=_DIGIT,
    ),
    _rule("date", rf"\b{_DAY}(?:st|nd|rd|th)(?:[ ]of)?[ ]{_MONTH}(?!\w)", hint=_DIGIT),
    _rule("age", r"(?i:\bninety(?:[ -](?:one|two|three|four|five|six|seven|eight|nine))?[ -]years?[ -]old\b)"),
    _rule(
        "web",
        r"(?<![\w@.-])[\w-]{1,63}(?:\.[\w-]{1,63}){0,4}\.(?:com|org|net|edu|gov|io)/[^\s)>\]]{1,2000}",
        credited=True,
        hint=re.compile(r"[a-z]/"),
    ),
    _rule("email", r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,6}", hint=re.compile("@")),
    _rule("social security", r"(?<![\w-])\d{3}-\d\d-\d{4}(?![\w-])", hint=_DIGIT),
    _rule(
        "number",
        r"(?i:\b(?:MRN|UHID|NHS|SSN|(?:medical[ ]record|hospital|patient|pat|chart|account|encounter|visit|member|"
        r"policy|health[ ](?:card|plan|insurance)|insurance|accession|acc|passport|driver['’]?s?[ ]licen[cs]e|"
        r"licen[cs]e[ ]plate|certificate|order|specimen|requisition)[ ]{0,3}"
        r"(?:number|num\b|no\b\.?|id\b|identifier|#|:))"
        rf"[ ]{{0,3}}(?:number|no\b\.?|id\b|is)?[ ]{{0,3}}[:#=]*[ ]{{0,3}})({_VALUE})",
        1,
        hint=_DIGIT,
    ),
    _rule("number", r"(?<![\w.])[0-2](?:\.\d{1,39}){6,30}(?!\w)", hint=_DIGIT, text_only=True),
    _rule("phone", r"(?<![\w.])(?:\+?\d{1,3}[ .-])?(?:\(\d{2,4}\)[ .-]?|\d{3}[ .-])\d{3}[ .-]\d{4}(?!\w)", hint=_DIGIT),
    _rule("phone", r"(?<![\w.])\+\d{1,3}(?:[ .-]?\(?\d{1,4}\)?){2,5}\d{2}(?!\w)", hint=_DIGIT),
    _rule(
        "phone",
        r"(?i:\b(?:tel|telephone|phone|fax|mobile|pager|beeper)\b\.?[ ]{0,3}(?:no\.?|number)?[ ]{0,3}[:#]?[ ]{0,3})"
        r"(\+?[\d(][\d ().-]{4,24}\d)",
        1,
        hint=_DIGIT,
    ),
    _rule(
        "address",
        r"\b\d{1,5}[A-Za-z]?[ ]{1,3}(?:(?:[NSEW]\.?|[A-Z][\w'’.-]{1,30})[ ]){1,4}"
        r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Way|Place|Pl|Square|Terrace|Parkway|"
        r"Pkwy|Highway|Hwy|Close|Crescent)\b\.?(?:,?[ ]{1,3}(?:Apt|Suite|Unit|#)\.?[ ]{0,3}\w+)?",
        hint=_DIGIT,
        text_only=True,
    ),
    _rule("address", r"\b(?i:P\.?[ ]?O\.?[ ]Box)[ ]{1,3}\d+", hint=_DIGIT),
    _rule(
        "address",
        r"\b[A-Z][a-z]{1,30}(?:[ ][A-Z][a-z]{1,30})?,[ ]{0,3}[A-Z]{2}[ ]{1,3}\d{5}(?:-\d{4})?(?!\w)",
        hint=_DIGIT,
        text_only=True,
    ),
    # The letters of the inward code are those that British postcodes use: no C, I, K, M, O or V, hence no MM and CM.
    _rule(
        "address",
        r"(?<!\w)[A-Z]{1,2}\d[A-Z\d]?[ ]\d[ABD-HJLNP-UW-Z]{2}(?!\w)",
        hint=_DIGIT,
        text_only=True,
    ),
    _rule(
        "web",
        r"\b(?:https?|ftp)://[^\s)>\]]{1,2000}|\bwww\.[^\s)>\]]{1,2000}",
        credited=True,
        hint=re.compile(r"www\.|://"),
    ),
    _rule(
        "web", r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?!\w|\.\d)", hint=_DIGIT
    ),
    _rule("date", rf"(?<![\d/.-])\d{{1,2}}/\d{{1,2}}/(?:{_YEAR}|\d\d)(?![\d/])", hint=_DIGIT),
    _rule("date", rf"(?<![\d/.-])\d{{1,2}}([.-])\d{{1,2}}\1{_YEAR}(?!\d)", hint=_DIGIT),
    _rule("date", rf"(?<![\w.-]){_YEAR}([-/.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])(?!\d)", hint=_DIGIT),
    _rule(
        "date",
        rf"\b{_DAY}(?:st|nd|rd|th)?(?:[ ]of)?[ -]{_MONTH}(?:,?[ -]+{_YEAR})(?!\d)|"
        rf"\b(?i:{_MONTH})[ ]{_DAY}(?:st|nd|rd|th)?,?[ ]{{1,3}}{_YEAR}(?!\d)|"
        rf"\b{_DAY}(?:st|nd|rd|th)?[ ](?!May|Mar){_MONTH}(?!\w)|"
        rf"\b(?!May|Mar\b){_MONTH}[ ]{_DAY}(?:st|nd|rd|th)?(?![\w%]|\.\d)",
        hint=_DIGIT,
    ),
    _rule(
        "age",
        r"(?i:\b(?:9\d|1[0-2]\d)[ -]?(?:years?|yrs?|y)[ -]?(?:old\b|/?o\b|\.o\.)|"
        r"\b(?:aged?|age[ ]of)[ ]{0,3}[:=]?[ ]{0,3}(?:9\d|1[0-2]\d)(?![\d%]|[.,]\d))",
        hint=_DIGIT,
    ),
    _rule(
        "device",
        r"(?i:\b(?:serial(?:[ ](?:number|no\b\.?|#))?|s/n|(?-i:SN)\b|device[ ](?:id|identifier|number)|udi|"
        r"lot[ ](?:number|no\b\.?|#))"
        rf"[ ]{{0,3}}[:#=]*[ ]{{0,3}})({_VALUE})",
        1,
        hint=_DIGIT,
    ),
    # Bare numbers of seven digits and more; round ones are counts, those after these words name publications.
    _rule(
        "number",
        r"(?<![\w.,/-])(?<!PMID )(?<!PMID: )(?<!PMC )(?<!ISBN )(?!\d+000(?!\d))\d{7,12}(?![\w/]|[.,]\d)",
        hint=_DIGIT,
        text_only=True,
    ),
)
"""What has a form of its own or a label before it."""
