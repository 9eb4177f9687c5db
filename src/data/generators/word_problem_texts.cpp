#include "data/generators/word_problem_texts.h"

namespace naru::data {

const StoryTexts kEnglishTexts = {
    .questions = {{
        "{A} has {a} {o}. {B} gives {A} {b} more. How many {o} does {A} have now?",
        "{A} has {a} {o} and gives {b} of them to {B}. How many {o} are left?",
        "{A} has {a} boxes with {b} {o} in each. How many {o} are there in all?",
        "{A} shares {a} {o} equally among {b} friends. How many {o} does each friend get?",
        "{A} has {a} {o}. {B} has {b} more than {A}. How many {o} does {B} have?",
        "{A} has {a} {o}. {B} has {b} fewer than {A}. How many {o} does {B} have?",
        "{A} buys {a} {o} for {b} coins each. How many coins does {A} pay?",
        "{A} has {c} coins and buys {a} {o} for {b} coins each. How many coins are left?",
        "{A} has {a} {o}, finds {b} more and then gives {c} to {B}. How many {o} does {A} have now?",
        "{A} has {a} boxes with {b} {o} in each and {c} more {o} on the table. How many {o} are there in all?",
        "{A} has {a} boxes with {b} {o} in each and gives {c} {o} to {B}. How many {o} are left?",
        "{A} has {a} {o}. {B} has {b} more than {A}. How many {o} do they have together?",
    }},
    .answers = {{
        "{A} now has {r} {o}.",
        "{A} has {r} {o} left.",
        "There are {r} {o} in all.",
        "Each friend gets {r} {o}.",
        "{B} has {r} {o}.",
        "{B} has {r} {o}.",
        "{A} pays {r} coins.",
        "{A} has {r} coins left.",
        "{A} now has {r} {o}.",
        "There are {r} {o} in all.",
        "{A} has {r} {o} left.",
        "They have {r} {o} together.",
    }},
    .names = {{"Tom", "Anna", "Ben", "Mia", "Sam", "Lily", "Jack", "Nora", "Leo", "Emma", "Max", "Ruth"}},
    .things = {{{"apples", ""},
                {"books", ""},
                {"pencils", ""},
                {"marbles", ""},
                {"stickers", ""},
                {"flowers", ""},
                {"eggs", ""},
                {"balls", ""},
                {"cards", ""},
                {"shells", ""}}},
};

const StoryTexts kKoreanTexts = {
    .questions = {{
        "{A|은} {o|을} {a}{m} 가지고 있습니다. {B|이} {A}에게 {b}{m|을} 더 주었습니다. {A|은} 이제 {o|을} 몇 {m} "
        "가지고 있습니까?",
        "{A|은} {o|을} {a}{m} 가지고 있는데, {B}에게 {b}{m|을} 주었습니다. {o|은} 몇 {m} 남았습니까?",
        "{A}에게 상자가 {a}개 있고, 상자마다 {o|이} {b}{m}씩 들어 있습니다. {o|은} 모두 몇 {m}입니까?",
        "{A|은} {o} {a}{m|을} 친구 {b}명에게 똑같이 나누어 줍니다. 친구 한 명은 {o|을} 몇 {m} 받습니까?",
        "{A|은} {o|을} {a}{m} 가지고 있습니다. {B|은} {A}보다 {b}{m} 더 많이 가지고 있습니다. {B|은} {o|을} 몇 {m} "
        "가지고 있습니까?",
        "{A|은} {o|을} {a}{m} 가지고 있습니다. {B|은} {A}보다 {b}{m} 더 적게 가지고 있습니다. {B|은} {o|을} 몇 {m} "
        "가지고 있습니까?",
        "{A|은} 하나에 동전 {b}개인 {o|을} {a}{m} 샀습니다. 동전을 몇 개 냈습니까?",
        "{A|은} 동전 {c}개를 가지고 있었는데, 하나에 동전 {b}개인 {o|을} {a}{m} 샀습니다. 동전은 몇 개 남았습니까?",
        "{A|은} {o|을} {a}{m} 가지고 있었는데, {b}{m|을} 더 찾은 뒤 {B}에게 {c}{m|을} 주었습니다. {A|은} 이제 {o|을} "
        "몇 {m} 가지고 있습니까?",
        "{A}에게 상자가 {a}개 있고, 상자마다 {o|이} {b}{m}씩 들어 있습니다. 책상 위에는 {o|이} {c}{m} 더 있습니다. "
        "{o|은} 모두 몇 {m}입니까?",
        "{A}에게 상자가 {a}개 있고, 상자마다 {o|이} {b}{m}씩 들어 있습니다. {A|은} {B}에게 {c}{m|을} 주었습니다. "
        "{o|은} 몇 {m} 남았습니까?",
        "{A|은} {o|을} {a}{m} 가지고 있습니다. {B|은} {A}보다 {b}{m} 더 많이 가지고 있습니다. 두 사람은 {o|을} 모두 몇 "
        "{m} 가지고 있습니까?",
    }},
    .answers = {{
        "{A|은} 이제 {o|을} {r}{m} 가지고 있습니다.",
        "{o|은} {r}{m} 남았습니다.",
        "{o|은} 모두 {r}{m}입니다.",
        "친구 한 명은 {o|을} {r}{m} 받습니다.",
        "{B|은} {o|을} {r}{m} 가지고 있습니다.",
        "{B|은} {o|을} {r}{m} 가지고 있습니다.",
        "동전을 {r}개 냈습니다.",
        "동전은 {r}개 남았습니다.",
        "{A|은} 이제 {o|을} {r}{m} 가지고 있습니다.",
        "{o|은} 모두 {r}{m}입니다.",
        "{o|은} {r}{m} 남았습니다.",
        "두 사람은 {o|을} 모두 {r}{m} 가지고 있습니다.",
    }},
    .names = {{"민수", "지영", "서준", "하은", "도윤", "수아", "지호", "유나", "현우", "은지", "태민", "소라"}},
    .things = {{{"사과", "개"},
                {"책", "권"},
                {"연필", "자루"},
                {"구슬", "개"},
                {"스티커", "장"},
                {"꽃", "송이"},
                {"달걀", "개"},
                {"공", "개"},
                {"카드", "장"},
                {"조개껍데기", "개"}}},
};

const StoryTexts kChineseTexts = {
    .questions = {{
        "{A}有{a}{m}{o}。{B}又给了{A}{b}{m}。{A}现在有多少{m}{o}？",
        "{A}有{a}{m}{o}，送给{B}{b}{m}。还剩多少{m}{o}？",
        "{A}有{a}个盒子，每个盒子里有{b}{m}{o}。一共有多少{m}{o}？",
        "{A}把{a}{m}{o}平均分给{b}个朋友。每个朋友得到多少{m}{o}？",
        "{A}有{a}{m}{o}。{B}比{A}多{b}{m}。{B}有多少{m}{o}？",
        "{A}有{a}{m}{o}。{B}比{A}少{b}{m}。{B}有多少{m}{o}？",
        "{A}买了{a}{m}{o}，每{m}{b}枚硬币。{A}一共付了多少枚硬币？",
        "{A}有{c}枚硬币，买了{a}{m}{o}，每{m}{b}枚硬币。还剩多少枚硬币？",
        "{A}有{a}{m}{o}，又找到{b}{m}，然后送给{B}{c}{m}。{A}现在有多少{m}{o}？",
        "{A}有{a}个盒子，每个盒子里有{b}{m}{o}，桌上还有{c}{m}。一共有多少{m}{o}？",
        "{A}有{a}个盒子，每个盒子里有{b}{m}{o}，送给{B}{c}{m}。还剩多少{m}{o}？",
        "{A}有{a}{m}{o}。{B}比{A}多{b}{m}。他们一共有多少{m}{o}？",
    }},
    .answers = {{
        "{A}现在有{r}{m}{o}。",
        "还剩{r}{m}{o}。",
        "一共有{r}{m}{o}。",
        "每个朋友得到{r}{m}{o}。",
        "{B}有{r}{m}{o}。",
        "{B}有{r}{m}{o}。",
        "{A}一共付了{r}枚硬币。",
        "还剩{r}枚硬币。",
        "{A}现在有{r}{m}{o}。",
        "一共有{r}{m}{o}。",
        "还剩{r}{m}{o}。",
        "他们一共有{r}{m}{o}。",
    }},
    .names = {{"小明", "小红", "小华", "小丽", "小刚", "小芳", "小军", "小美", "小强", "小兰", "小龙", "小雪"}},
    .things = {{{"苹果", "个"},
                {"书", "本"},
                {"铅笔", "支"},
                {"玻璃球", "颗"},
                {"贴纸", "张"},
                {"花", "朵"},
                {"鸡蛋", "个"},
                {"球", "个"},
                {"卡片", "张"},
                {"贝壳", "个"}}},
};

}  // namespace naru::data
